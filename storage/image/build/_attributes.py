"""Which files of a tree lie in blobs of others: lines of ``path key=value...``, as git writes attributes.

Source: nydus ``builder/src/attributes.rs``; gitattributes(5).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from storage.errors import ConfigError
from storage.image._ondisk import BLOCK_SIZE, MAX_CHUNK_SIZE

__all__ = ["ExternalFile", "parse_attributes"]

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20}
_MAX_BLOBS = 1 << 10
_MAX_FILE = 8 << 20


class ExternalFile(NamedTuple):
    """Where a file's bytes are.

    Attributes
    ----------
    blob_index, blob_id, blob_size
        Of the blob: its place in the blob table, its SHA-256 in hex, its bytes.
    chunk_size
        Of its chunks, one behind the other.
    offset
        Of the first.
    size
        Of the file, where it stands in the tree as an empty one; 0 to take it from there.
    crcs
        CRC32C of each chunk, if they are told.
    """

    blob_index: int
    blob_id: str
    blob_size: int
    chunk_size: int
    offset: int
    size: int
    crcs: tuple[int, ...]


def parse_attributes(path: str | Path) -> dict[str, ExternalFile]:
    """External files by their path in the tree; lines of other types are passed over.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a line says too little; names the line.
    """
    try:
        if Path(path).stat().st_size > _MAX_FILE:
            raise ConfigError("is too large for a file of attributes", path=path)
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=path) from error
    found: dict[str, ExternalFile] = {}
    for number, line in enumerate(lines, 1):
        try:
            words = shlex.split(line, comments=True)
            values = dict(word.partition("=")[::2] for word in words[1:])
            if words and values.get("type") == "external":
                found["/" + words[0].lstrip("/")] = _external(values)
        except (KeyError, ValueError) as error:
            what = f"is not told: {error}" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"line {number}: {what}", path=path) from error
    return found


def _external(values: dict[str, str]) -> ExternalFile:
    blob_id = values["blob_id"]
    if not re.fullmatch(r"[0-9a-f]{64}", blob_id):
        raise ValueError(f"{blob_id[:80]!r} is not a blob's id")
    external = ExternalFile(
        blob_index=_number(values["blob_index"]),
        blob_id=blob_id,
        blob_size=_number(values["compressed_size"]),
        chunk_size=_size(values["chunk_size"]),
        offset=_number(values["chunk_0_compressed_offset"]),
        size=_number(values.get("file_size", "0")),
        crcs=tuple(int(crc, 16) for crc in values.get("crcs", "").split(",") if crc),
    )
    if external.chunk_size & (external.chunk_size - 1) or not BLOCK_SIZE <= external.chunk_size <= MAX_CHUNK_SIZE:
        raise ValueError(f"a chunk size of {external.chunk_size} is none")
    if external.offset % BLOCK_SIZE or external.blob_index >= _MAX_BLOBS:
        raise ValueError(f"no file can begin at {external.offset} of blob {external.blob_index}")
    if any(not 0 <= crc < 1 << 32 for crc in external.crcs):
        raise ValueError("a CRC32C is none")
    return external


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise ValueError(f"{text[:40]!r} is no number")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"(0x[0-9a-fA-F]{1,8}|\d{1,9})([a-zA-Z]{0,3})", text)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"{text[:40]!r} is no size")
    return int(match[1], 0) * _UNITS[match[2].lower()]
