"""From a path to a bootstrap and a folder of blobs: what IMAGE means on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import FormatError, StorageError
from storage.image._contents import extract, file_range, last_member, read_toc
from storage.image._ondisk import EROFS_MAGIC, SUPER_OFFSET
from storage.image._source import BlobSource

__all__ = ["Located", "locate"]

_TAR_BLOCK = 512
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
        content = _bootstrap(path)
        inlined = _inlined(path) if content is None else None
    except OSError as error:
        raise FormatError(f"the image cannot be read: {error.strerror}", path=path) from error
    except StorageError as error:
        error.where.setdefault("path", path)
        raise
    if inlined is not None:
        return Located(path, inlined, _place(path.parent if blobs is None else blobs), inlined=True)
    assert content is not None
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


def _bootstrap(path: Path) -> bytes | None:
    """The file if it is a bootstrap; blobs are not read whole."""
    with path.open("rb") as file:
        start = file.read(SUPER_OFFSET + 4)
        if int.from_bytes(start[SUPER_OFFSET:], "little") != EROFS_MAGIC and start[:4] != b"SFAR":
            return None
        if path.stat().st_size > _MAX_BOOTSTRAP:
            raise FormatError("is too large for a bootstrap", path=path)
        return start + file.read()


def _inlined(path: Path) -> bytes:
    """The bootstrap out of a blob: a tar whose headers lie behind their files, a table of contents perhaps last."""
    read, size = file_range(path)
    name, start, length = last_member(read, size) or ("", 0, 0)
    if name == "image.boot":
        return read(start, length)
    contents = read_toc(read, size)
    if contents is None:
        raise FormatError("is not a RAFS image: no bootstrap, nor a blob with one in it", path=path)
    if "image.boot" not in contents.parts:
        raise FormatError("is a blob without a bootstrap in it", path=path)
    return extract(read, "image.boot", contents.parts["image.boot"])
