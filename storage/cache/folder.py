"""Whose folder this is."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from storage.cache._file import Descriptor, open_file, refused
from storage.device import BlobInfo
from storage.errors import CacheError, CacheUnavailableError

__all__ = ["FolderLock", "begin_form", "check_form", "check_owner"]

DATA_SUFFIX = ".blob.data"
_FORMS = ("raw", "encrypted")
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def check_owner(folder: Path, infos: Sequence[BlobInfo]) -> None:
    """Raise `CacheError` if the folder holds blobs, and none of this image."""
    held = {name.removesuffix(DATA_SUFFIX) for name in os.listdir(folder) if name.endswith(DATA_SUFFIX)}
    if held and held.isdisjoint(info.blob_id for info in infos):
        raise CacheError("the cache folder is another image's: name another folder", path=folder)


def begin_form(folder: Path, form: str, writable: bool) -> None:
    """Say in a folder that chunks are kept ``raw`` or ``encrypted`` in it; nothing is said of plain ones.

    Maps look the same whatever they are of, so what one form marks must not be taken for ready by another.
    To be followed by `check_form`, once the files are there.

    Raises
    ------
    CacheError
        If chunks are kept as they are there.
    """
    marker = folder / f".{form}"
    if not form or marker.exists():
        return
    if not writable or any(name.endswith(DATA_SUFFIX) for name in os.listdir(folder)):
        raise CacheError(f"the cache folder does not hold {form} chunks: name another folder", path=folder)
    try:
        marker.touch()
    except OSError as error:
        raise refused("the cache folder cannot be used", error, folder) from error


def check_form(folder: Path, form: str) -> None:
    """Raise `CacheError` if chunks are kept in another form there."""
    for other in _FORMS:
        if other != form and (folder / f".{other}").exists():
            raise CacheError(f"the cache folder holds {other} chunks: name another folder", path=folder)


class FolderLock:
    """Keeps others away from a folder that evicts.

    A bounded cache holds the folder for itself, since what it punches out must not be taken
    for ready by another process; unbounded ones share it.

    Attributes
    ----------
    writable
        Whether anything in the folder may be changed.
    """

    def __init__(self, folder: Path, infos: Sequence[BlobInfo], exclusive: bool) -> None:
        self.writable = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_owner(folder, infos)
        except OSError as error:
            raise refused("the cache folder cannot be used", error, folder) from error
        self._fd = self._open(folder / ".lock")
        if self._fd >= 0:
            self._take(folder, exclusive and self.writable)

    def _open(self, path: Path) -> int:
        """Open the lock, to write if that is allowed; -1 where there is none, nor can one be made."""
        try:
            return Descriptor(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise refused("the cache folder cannot be used", error, path.parent) from error
        self.writable = False
        return open_file(path, writable=False)

    def _take(self, folder: Path, exclusive: bool) -> None:
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            why = "" if exclusive else ", by a process that evicts from it"
            raise CacheUnavailableError(f"the cache folder is in use{why}", path=folder) from error

    def release(self) -> None:
        """Let others have it."""
        self._fd = -1
