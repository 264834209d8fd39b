"""A blob's table of contents: where its parts lie, and what their digests are.

A blob may be a tar whose headers lie behind their files. The table comes last, so that a blob is
read from its end; what it names is read by range, from a file or a backend alike.

Source: nydus ``storage/src/meta/toc.rs``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.codec import Compressor, decompress_into
from storage.errors import FormatError, IntegrityError, UnsupportedError
from storage.image.blob_info import BlobFeatures, BlobInfo

__all__ = [
    "TOC_COMPRESSORS",
    "TOC_ENTRY",
    "Contents",
    "Part",
    "ReadRange",
    "chunk_digests",
    "extract",
    "file_range",
    "last_member",
    "read_toc",
]

TOC_ENTRY = np.dtype(
    [
        ("flags", "<u4"),
        ("reserved", "<u4"),
        ("name", "S16"),
        ("digest", "V32"),
        ("compressed_offset", "<u8"),
        ("compressed_size", "<u8"),
        ("uncompressed_size", "<u8"),
        ("reserved2", "V48"),
    ]
)
TOC_COMPRESSORS = {1: Compressor.NONE, 2: Compressor.ZSTD, 4: Compressor.LZ4_BLOCK}
_TAR_BLOCK = 512
_MAX_ENTRIES = 64
_MAX_PART = 4 << 30
_MAX_RATIO = 1 << 15  # of zstd, which is above lz4's
_DIGEST_SIZE = 32

ReadRange = Callable[[int, int], bytes]


class Part(NamedTuple):
    """What the table says of one part: `stored` bytes from `offset`, which decompressed are `size`."""

    compressor: Compressor
    digest: bytes
    offset: int
    stored: int
    size: int


class Contents(NamedTuple):
    """A table of contents.

    Attributes
    ----------
    parts
        By name: ``image.blob``, ``blob.meta``, ``blob.meta.header``, ``blob.digest``, ``image.boot``.
    size, digest
        Bytes of the table with its header, and their SHA-256.
    """

    parts: dict[str, Part]
    size: int
    digest: bytes


def last_member(read: ReadRange, size: int) -> tuple[str, int, int] | None:
    """Name, offset and size of what the header at the end of a blob of `size` bytes is about; None if there is none."""
    if size < _TAR_BLOCK:
        return None
    header = read(size - _TAR_BLOCK, _TAR_BLOCK)
    digits = header[124:135].strip(b"\0 ")
    if header[257:262] != b"ustar" or digits.strip(b"01234567"):
        return None
    length = int(digits or b"0", 8)
    start = size - _TAR_BLOCK - length
    return (header[:100].rstrip(b"\0").decode("ascii", "replace"), start, length) if start >= 0 else None


def read_toc(read: ReadRange, size: int) -> Contents | None:
    """The table at the end of a blob of `size` bytes; None if it has none.

    Raises
    ------
    FormatError
        If the table is broken, names a part twice, or one that lies outside the blob.
    UnsupportedError
        If a part is compressed in an unknown way.
    """
    member = last_member(read, size)
    if member is None or member[0] != "rafs.blob.toc":
        return None
    _, start, length = member
    if length % TOC_ENTRY.itemsize or length > _MAX_ENTRIES * TOC_ENTRY.itemsize:
        raise FormatError(f"{length} bytes are no table of contents", field="toc", offset=start)
    whole = read(start, size - start)
    parts: dict[str, Part] = {}
    for entry in np.frombuffer(whole, TOC_ENTRY, length // TOC_ENTRY.itemsize):
        name = entry["name"].decode("ascii", "backslashreplace")
        if name in parts:
            raise FormatError(f"the table of contents names {name!r} twice", field="toc", offset=start)
        parts[name] = _part(name, entry, start)
    return Contents(parts, len(whole), hashlib.sha256(whole).digest())


def _part(name: str, entry: np.void, end: int) -> Part:
    offset, stored, size = (int(entry[key]) for key in ("compressed_offset", "compressed_size", "uncompressed_size"))
    compressor = TOC_COMPRESSORS.get(int(entry["flags"]))
    if compressor is None:
        raise UnsupportedError(f"the table of contents has flags {entry['flags']:#x} for {name!r}", field="toc")
    if offset + stored > end:
        raise FormatError(f"{name!r} lies past the end of its blob", field="toc", offset=offset)
    return Part(compressor, entry["digest"].tobytes(), offset, stored, size)


def extract(read: ReadRange, name: str, part: Part) -> bytes:
    """A part's bytes, decompressed and compared with its digest.

    Raises
    ------
    FormatError
        If it cannot be decompressed, or cannot be as long as the table says.
    IntegrityError
        If it is not what the digest says.
    """
    if part.size > min(_MAX_PART, part.stored * _MAX_RATIO):
        raise FormatError(f"{name!r} cannot be {part.size} bytes of {part.stored}", field="toc", offset=part.offset)
    plain = memoryview(bytearray(part.size))
    decompress_into(part.compressor, memoryview(read(part.offset, part.stored)), plain)
    if hashlib.sha256(plain).digest() != part.digest:
        raise IntegrityError(f"{name!r} is not what the table of contents says", field="toc", offset=part.offset)
    return bytes(plain)


def chunk_digests(read: ReadRange, size: int, info: BlobInfo) -> npt.NDArray[np.uint8] | None:
    """Digests of all chunks of a blob, (chunks, 32), as its ``blob.digest`` has them; None where there is none.

    Parameters
    ----------
    read, size
        Of the blob that holds ``blob.meta``.

    Raises
    ------
    FormatError, IntegrityError
        If the table of contents is not the one that the image names, or ``blob.digest`` is broken.
    """
    if not info.has_feature(BlobFeatures.INLINED_CHUNK_DIGEST | BlobFeatures.HAS_TOC):
        return None
    contents = read_toc(read, size)
    part = contents.parts.get("blob.digest") if contents else None
    if contents is None or part is None:
        raise FormatError("the blob has no digests of its chunks", blob=info.blob_id, field="toc")
    if info.toc_digest and contents.digest != info.toc_digest:
        raise IntegrityError("the table of contents is not the image's", blob=info.blob_id, field="toc")
    if part.size != info.chunk_count * _DIGEST_SIZE:
        raise FormatError(f"{part.size} bytes are not a digest for each chunk", blob=info.blob_id, field="blob.digest")
    return np.frombuffer(extract(read, "blob.digest", part), np.uint8).reshape(-1, _DIGEST_SIZE)


def file_range(path: Path) -> tuple[ReadRange, int]:
    """A file to be read by range, and its size.

    Raises
    ------
    FormatError
        When a range is read that the file does not have.
    """

    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
        if len(data) != length:
            raise FormatError("the blob ends before its parts do", path=path, offset=offset + len(data))
        return data

    return read, path.stat().st_size
