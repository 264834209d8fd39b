"""From a path to a bootstrap and a folder of blobs: what IMAGE means on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from storage.codec import Compressor, decompress_into
from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import EROFS_MAGIC, SUPER_OFFSET
from storage.image._source import BlobSource
from storage.image._super import table_at

__all__ = ["TOC_COMPRESSORS", "TOC_ENTRY", "Located", "locate"]

_TAR_BLOCK = 512
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
_MAX_BOOTSTRAP = 4 << 30


@dataclass(frozen=True)
class Located:
    """Where an image is.

    Attributes
    ----------
    path
        The file that holds the bootstrap.
    bootstrap
        The bootstrap.
    blobs
        The folder of blobs, or what else has them.
    inlined
        Whether `path` is a blob with the bootstrap in it.
    """

    path: Path
    bootstrap: bytes = field(repr=False)
    blobs: Path | BlobSource
    inlined: bool = False


def locate(path: str | Path, blobs: str | Path | BlobSource | None = None) -> Located:
    """Find bootstrap and blobs.

    Parameters
    ----------
    path
        A bootstrap, a blob with an inlined bootstrap, or a folder that holds either.
    blobs
        The folder of blobs; by default ``blobs`` beside the bootstrap, or the blob's own folder. Or what else has
        them: a backend.

    Raises
    ------
    FormatError
        If there is nothing of the kind, or more than one; names the path.
    """
    path = Path(path)
    try:
        if path.is_dir():
            path = _in_folder(path)
        content = _read(path)
    except OSError as error:
        raise FormatError(f"the image cannot be read: {error.strerror}", path=path) from error
    if not _is_bootstrap(content):
        inlined = _inlined(content, path)
        return Located(path, inlined, _place(path.parent if blobs is None else blobs), inlined=True)
    if blobs is None:
        beside = path.parent / "blobs"
        blobs = beside if beside.is_dir() else path.parent
    return Located(path, content, _place(blobs))


def _place(blobs: str | Path | BlobSource) -> Path | BlobSource:
    return Path(blobs) if isinstance(blobs, str) else blobs


def _in_folder(folder: Path) -> Path:
    for name in ("bootstrap", "image.boot", "merged.boot", "image/image.boot"):
        if (folder / name).is_file():
            return folder / name
    inside = folder / "blobs" if (folder / "blobs").is_dir() else folder
    found = [file for file in sorted(inside.iterdir()) if file.is_file() and _ends_like_blob(file)]
    if len(found) != 1:
        what = "no image" if not found else f"{len(found)} blobs that may hold one"
        raise FormatError(f"there is {what} in this folder: name a bootstrap or a blob", path=folder)
    return found[0]


def _ends_like_blob(file: Path) -> bool:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - _TAR_BLOCK, 0))
        return stream.read(16).startswith((b"image.boot", b"rafs.blob.toc"))


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_BOOTSTRAP:
        raise FormatError("is too large for an image with its bootstrap in it", path=path)
    return path.read_bytes()


def _is_bootstrap(content: bytes) -> bool:
    magic = int.from_bytes(content[SUPER_OFFSET : SUPER_OFFSET + 4], "little")
    return magic == EROFS_MAGIC or content[:4] == b"SFAR"


def _inlined(content: bytes, path: Path) -> bytes:
    """The bootstrap out of a blob: a tar whose headers lie behind their files, a ToC perhaps last."""
    name, start, size = _last_member(content, len(content), path)
    if name == "image.boot":
        return content[start : start + size]
    if name != "rafs.blob.toc":
        raise FormatError("is not a RAFS image: no bootstrap, nor a blob with one in it", path=path)
    for entry in table_at(np.frombuffer(content, np.uint8), TOC_ENTRY, (start, size), "toc"):
        if entry["name"] == b"image.boot":
            return _toc_content(content, entry, path)
    raise FormatError("is a blob without a bootstrap in it", path=path)


def _last_member(content: bytes, end: int, path: Path) -> tuple[str, int, int]:
    header = content[max(end - _TAR_BLOCK, 0) : end]
    try:
        size = int(header[124:135].rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        size = -1
    start = end - _TAR_BLOCK - size
    if header[257:262] != b"ustar" or size < 0 or start < 0:
        raise FormatError("is not a RAFS image: no bootstrap, nor a blob with one in it", path=path)
    return header[:100].rstrip(b"\0").decode("ascii", "replace"), start, size


def _toc_content(content: bytes, entry: np.void, path: Path) -> bytes:
    start, stored, size = (int(entry[name]) for name in ("compressed_offset", "compressed_size", "uncompressed_size"))
    compressor = TOC_COMPRESSORS.get(int(entry["flags"]))
    if compressor is None:
        raise UnsupportedError(f"the ToC has flags {entry['flags']:#x}", path=path, field="toc")
    if start + stored > len(content) or size > _MAX_BOOTSTRAP:
        raise FormatError("the bootstrap lies past the end of its blob", path=path, offset=start)
    plain = bytearray(size)
    decompress_into(compressor, memoryview(content)[start : start + stored], memoryview(plain))
    return bytes(plain)
