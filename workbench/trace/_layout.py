"""An image's columns as Parquet files: enough to look at it and to replay on it, with none of its data.

Digests, checksums, xattrs and link targets are left out; names are kept, so paths can be looked up.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.codec import Compressor, Digester
from storage.errors import TraceError
from storage.image import BlobFeatures, BlobInfo, Blobs, Chunks, Entries, Extents, Image, Inodes, Table
from workbench.trace._schema import write_table

__all__ = ["read_layout", "write_layout"]

_DROPPED = {"digest", "has_digest", "crc32c", "has_crc32c", "encrypted", "name_offset"}
_DROPPED |= {"xattr_offset", "xattr_size", "data_offset", "tail_offset"}
_TABLES: dict[str, type[Table]] = {
    "inodes": Inodes,
    "entries": Entries,
    "extents": Extents,
    "chunks": Chunks,
    "blobs": Blobs,
}


def write_layout(folder: str | Path, image: Image) -> None:
    """Write the columns of an image as ``<table>.parquet``."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    about = {
        "bootstrap_digest": image.bootstrap_digest,
        "chunk_size": image.chunk_size,
        "infos": [_about(info) for info in image.infos],
    }
    for name in _TABLES:
        table = getattr(image, name).to_arrow()
        table = table.drop_columns([column for column in table.column_names if column in _DROPPED])
        if name == "entries":
            table = table.append_column("name", _names(image)).drop_columns(["name_length"])
        write_table(place / f"{name}.parquet", table.replace_schema_metadata({"nydus.layout": json.dumps(about)}))


def _about(info: BlobInfo) -> dict[str, Any]:
    """What is told of a blob: no key, and nothing of its table of contents."""
    return {name: value for name, value in asdict(info).items() if name not in _SECRET}


_SECRET = {"cipher", "cipher_key", "cipher_iv", "toc_size", "toc_digest"}


def _names(image: Image) -> pa.Array:
    whole, entries = image.data.tobytes(), image.entries
    spans = zip(entries.name_offset.tolist(), entries.name_length.tolist(), strict=True)
    return pa.array([whole[start : start + length] for start, length in spans], pa.binary())


def read_layout(folder: str | Path) -> Image:
    """An image made of such files.

    Raises
    ------
    TraceError
        If they are not there, or are not a layout.
    """
    try:
        tables = {name: pq.read_table(Path(folder) / f"{name}.parquet") for name in _TABLES}
        about = json.loads(tables["chunks"].schema.metadata[b"nydus.layout"])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise TraceError(f"the layout cannot be read: {error}", path=folder) from error
    names = tables["entries"]["name"].to_pylist()
    return Image(
        digest=about["bootstrap_digest"],
        chunk_size=about["chunk_size"],
        infos=tuple(_info(values) for values in about["infos"]),
        prefetch=np.zeros(0, np.int32),
        data=np.frombuffer(b"".join(names), np.uint8),
        **{name: _table(kind, tables[name], names) for name, kind in _TABLES.items()},
    )


def _info(values: dict[str, Any]) -> BlobInfo:
    return BlobInfo(
        **values
        | {
            "features": BlobFeatures(values["features"]),
            "compressor": Compressor(values["compressor"]),
            "meta_ci_compressor": Compressor(values["meta_ci_compressor"]),
            "digester": Digester(values["digester"]),
        }
    )


def _table(kind: type[Table], table: pa.Table, names: list[bytes]) -> Any:
    """A table with what was left out as if it were unknown."""
    lengths = np.array([len(name) for name in names], np.int32)
    rows = table.num_rows
    made: dict[str, Any] = {
        "digest": np.zeros((rows, 32), np.uint8),
        # Known, so that the planner takes the chunks for ones that it may store.
        "has_digest": np.ones(rows, np.bool_),
        "crc32c": np.zeros(rows, np.uint32),
        "has_crc32c": np.zeros(rows, np.bool_),
        "name_length": lengths,
        "name_offset": np.cumsum(lengths, dtype=np.int64) - lengths,
    }
    if kind is Chunks:  # older files know of no units: each chunk was one
        made |= {"encrypted": np.zeros(rows, np.bool_), "unit": np.arange(rows), "kind": np.zeros(rows, np.uint8)}
        made |= {"unit_offset": np.zeros(rows, np.int32), "unit_size": table["uncompressed_size"].to_numpy()}
    made["xattr_size"] = np.zeros(rows, np.int32)
    unknown = np.full(rows, -1, np.int64)
    columns = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    known = {name: table[name].to_numpy() for name in columns if name in table.column_names}
    return kind(**{name: known.get(name, made.get(name, unknown)) for name in columns})
