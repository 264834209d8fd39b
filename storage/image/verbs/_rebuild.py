"""An image with some of its chunks moved to a new blob: what `compact` and `optimize` do once they have chosen.

Chunks are taken over as they are stored where the new blob is stored alike; those of batches and
of gzip layers are decoded and compressed alone, so that they stay readable. All are verified.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.codec import Compressor, crc32c
from storage.errors import ConfigError, UnsupportedError
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._locate import Located, locate
from storage.image._ondisk import BLOCK_SIZE, CHUNK_HAS_CRC32, CHUNK_IS_COMPRESSED, RECORD_IS_ENCRYPTED
from storage.image._open import Bootstrap, open_bootstrap, open_image
from storage.image._source import BlobSource, save_blob
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build import Node, image_tree
from storage.image.build._blob import pack
from storage.image.build._blob_meta import write_meta
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._chunk_list import OWN, ChunkList, Unit
from storage.image.build._layout import place_nodes
from storage.image.build._prefetch import arrange
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._toc import Toc
from storage.image.build._v5_bootstrap import dump_bootstrap as v5_dump
from storage.image.tables import PLAIN
from storage.image.verbs._chunk_lists import Gathered
from storage.image.verbs._inspect import paths_by_row
from storage.image.verbs._merge import algorithms, named
from storage.progress import progress_bar

__all__ = ["Rebuilt", "rebuild"]

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rebuilt:
    """What was made of an image.

    Attributes
    ----------
    bootstrap, blob
        The new files; no blob where no chunk was moved.
    blobs
        Ids of all blobs that the new image uses.
    moved, moved_bytes
        Chunks in the new blob, and its bytes.
    bytes_before, bytes_after
        Of all blobs that the image uses.
    """

    bootstrap: Path
    blob: Path | None
    blobs: tuple[str, ...]
    moved: int
    moved_bytes: int
    bytes_before: int
    bytes_after: int


def rebuild(
    path: str | Path,
    out: str | Path,
    blobs: str | Path | BlobSource | None,
    choose: Callable[[Image], I64],
    features: BlobFeatures = BlobFeatures(0),  # noqa: B008
    *,
    progress: bool = False,
) -> Rebuilt:
    """Write ``out/bootstrap``, and to ``out/blobs`` the chunks that `choose` names, beside the blobs still needed.

    Parameters
    ----------
    path, blobs
        See `storage.image.locate`.
    choose
        From an image to the rows of its chunk table that are moved, in their new order.
    features
        What the new blob has besides.

    Raises
    ------
    UnsupportedError
        If it is a tarfs.
    FormatError, MissingBlobError, IntegrityError
        If the image cannot be read.
    ConfigError
        If `out` cannot be written.
    """
    located = locate(path, blobs)
    bootstrap, image, out = open_bootstrap(located), open_image(path, blobs), Path(out)
    if image.block_size != BLOCK_SIZE:
        raise UnsupportedError("is a tarfs, whose blobs are tars", path=path)
    infos = tuple(named(info, located.path) for info in bootstrap.infos)
    moved = choose(image)
    try:
        (out / "blobs").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
            partial = Path(folder) / "blob"
            made, new, info = _write(bootstrap, image, infos, located, moved, features, partial, progress)
            blob = out / "blobs" / info.blob_id if info else None
            if blob:
                partial.replace(blob)
            for kept in new:
                if kept is not info:
                    _take_over(located.blobs, kept.blob_id, out / "blobs" / kept.blob_id)
            (Path(folder) / "bootstrap").write_bytes(made)
            (Path(folder) / "bootstrap").replace(out / "bootstrap")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return Rebuilt(
        bootstrap=out / "bootstrap",
        blob=blob,
        blobs=tuple(each.blob_id for each in new),
        moved=info.chunk_count if info else 0,
        moved_bytes=info.compressed_size if info else 0,
        bytes_before=sum(each.compressed_size for each in infos),
        bytes_after=sum(each.compressed_size for each in new),
    )


def _write(
    bootstrap: Bootstrap,
    image: Image,
    infos: Sequence[BlobInfo],
    located: Located,
    moved: I64,
    features: BlobFeatures,
    partial: Path,
    progress: bool,
) -> tuple[bytes, list[BlobInfo], BlobInfo | None]:
    """The new bootstrap, its blobs, and the new one of them, written to `partial`."""
    rows, chunks = _kept(bootstrap, image, moved)
    info: BlobInfo | None = None
    if len(moved):
        recipe = _recipe(infos[int(image.chunks.blob[moved[0]])])
        with partial.open("wb") as file, Sink(file) as sink, ChunkReader(image, located.blobs) as reader:
            _move(image, reader, _shown(moved, progress), recipe, rows, chunks, sink)
            info = write_meta(chunks, sink, recipe, Toc()) if image.version == 6 else _without_meta(chunks, recipe)
            info = replace(info, blob_id=sink.hexdigest(), features=info.features | features)
    new = [
        replace(info if blob == OWN and info else infos[blob], blob_index=at) for at, blob in enumerate(chunks.blobs)
    ]
    root = image_tree(image, located.blobs, rows)
    listed = _listed(image, root)
    compressor, digester = algorithms(bootstrap.block.flags)
    options = (compressor, digester, image.chunk_size)
    if image.version == 5:
        made = v5_dump(root, chunks, new, *options, listed or None)
    else:
        made = dump_bootstrap(root, place_nodes(root, image.chunk_size), chunks, new, *options, listed)
    own = next((each for each, blob in zip(new, chunks.blobs, strict=True) if blob == OWN), None)
    return made, new, own


def _without_meta(chunks: ChunkList, recipe: Recipe) -> BlobInfo:
    """The new blob of a v5 image, which has nothing but chunks; it has no id yet."""
    first, last = chunks.own[0], chunks.own[-1]
    end = chunks.uncompressed_offset[last] + chunks.uncompressed_size[last]
    return BlobInfo(
        blob_index=chunks.blob[first],
        blob_id="",
        features=BlobFeatures.CAP_TAR_TOC,
        compressed_size=chunks.compressed_offset[last] + chunks.compressed_size[last],
        uncompressed_size=-(-end // BLOCK_SIZE) * BLOCK_SIZE,
        chunk_size=recipe.chunk_size,
        chunk_count=len(chunks.own),
        compressor=recipe.compressor,
        digester=recipe.digester,
        meta_ci_compressor=Compressor.NONE,
        meta_ci_offset=0,
        meta_ci_compressed_size=0,
        meta_ci_uncompressed_size=0,
    )


def _shown(rows: I64, progress: bool) -> Iterator[int]:
    """Rows one by one, with a bar if it takes long."""
    with progress_bar(progress, len(rows), "move", "chunk") as move:
        for row in rows.tolist():
            yield row
            move(1)


def _kept(bootstrap: Bootstrap, image: Image, moved: I64) -> tuple[I64, ChunkList]:
    """A list of the chunks that stay where they are, in the order of the files, and where in it each is."""
    rows = np.full(len(image.chunks), -1, np.int64)
    records = Gathered([bootstrap]).records
    stays = np.ones(len(image.chunks), np.bool_)
    stays[moved] = False
    chunks = ChunkList()
    used, first = np.unique(image.extents.chunk, return_index=True)
    for row in used[np.argsort(first)].tolist():
        if stays[row]:
            record = records[row]
            rows[row] = chunks.append(
                int(image.chunks.blob[row]),
                record["digest"].tobytes(),
                crc32c=int(record["crc32"]),
                **{name: int(record[name]) for name in _FIELDS},
            )
    return rows, chunks


_FIELDS = ("index", "flags", "compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")


def _recipe(info: BlobInfo) -> Recipe:
    """How a blob like this one is written, without batches."""
    return Recipe(
        compressor=info.compressor,
        digester=info.digester,
        chunk_size=info.chunk_size,
        cipher=info.cipher,
        key=info.cipher_key,
        iv=info.cipher_iv,
    )


def _move(
    image: Image,
    reader: ChunkReader,
    moved: Iterable[int],
    recipe: Recipe,
    rows: I64,
    chunks: ChunkList,
    out: Sink,
) -> None:
    """Write chunks to the new blob, and add them to the list; those of the same digest once."""
    place, index, row_of = 0, 0, dict[bytes, int]()
    for row in moved:
        key = image.chunks.digest[row].tobytes()
        if key in row_of:
            rows[row] = row_of[key]
            continue
        plain = bytes(reader.read(row))
        stored, flags = _stored(image, reader, row, recipe, plain)
        unit = Unit([len(chunks)], len(plain), batch=False, offset=out.size, size=len(stored))
        rows[row] = row_of[key] = chunks.append(
            OWN,
            key,
            index=index,
            flags=flags,
            crc32c=crc32c(plain),
            compressed_offset=out.size,
            compressed_size=len(stored),
            uncompressed_offset=place,
            uncompressed_size=len(plain),
        )
        chunks.units.append(unit)
        out.write(stored)
        place, index = -(-(place + len(plain)) // BLOCK_SIZE) * BLOCK_SIZE, index + 1


def _stored(
    image: Image, reader: ChunkReader, row: int, recipe: Recipe, plain: bytes
) -> tuple[bytes | memoryview, int]:
    """A chunk as the new blob has it, and its flags."""
    columns = image.chunks
    info = image.infos[int(columns.blob[row])]
    flags = CHUNK_HAS_CRC32 | (RECORD_IS_ENCRYPTED if recipe.cipher else 0)
    if columns.kind[row] == PLAIN and _recipe(info) == recipe:
        offset, size = int(columns.compressed_offset[row]), int(columns.compressed_size[row])
        stored = bytes(reader.stored(int(columns.blob[row]), offset, size))
        return stored, flags | (CHUNK_IS_COMPRESSED if columns.compressed[row] else 0)
    packed, compressed = pack(recipe, plain)
    return packed, flags | (CHUNK_IS_COMPRESSED if compressed else 0)


def _listed(image: Image, root: Node) -> list[Node]:
    """The nodes of the prefetch table."""
    wanted = image.prefetch.tolist()
    paths = paths_by_row(image, set(wanted))
    return arrange(root, [paths[row][0] for row in wanted if paths[row]]).listed


def _take_over(blobs: Path | BlobSource, blob_id: str, target: Path) -> None:
    """Have a blob in another folder too: by another name of the file where that is possible."""
    if target.exists():
        return
    if not isinstance(blobs, Path):
        save_blob(blobs, blob_id, target)
        return
    source = blobs / blob_id
    if not source.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
