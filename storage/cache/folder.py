"""Whose folder this is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from storage.device import BlobInfo
from storage.errors import CacheError

__all__ = ["FolderLock", "check_owner"]

DATA_SUFFIX = ".blob.data"


def check_owner(folder: Path, infos: Sequence[BlobInfo]) -> None:
    """Raise `CacheError` if the folder holds blobs, and none of this image."""
    held = {name.removesuffix(DATA_SUFFIX) for name in os.listdir(folder) if name.endswith(DATA_SUFFIX)}
    if held and held.isdisjoint(info.blob_id for info in infos):
        raise CacheError("the cache folder is another image's: name another folder", path=folder)


class FolderLock:
    """Keeps others away from a folder that evicts.

    A bounded cache holds the folder for itself, since what it punches out must not be taken
    for ready by another process; unbounded ones share it.
    """

    def __init__(self, folder: Path, infos: Sequence[BlobInfo], exclusive: bool) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_owner(folder, infos)
            self._fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CacheError(f"the cache folder cannot be used: {error.strerror}", path=folder) from error
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise CacheError("the cache folder is in use, and one of its users evicts", path=folder) from error

    def release(self) -> None:
        """Let others have it."""
        os.close(self._fd)
