"""A tar that lies in the cache folder: the blob of a tarfs image, under its own name, read and never written."""

from __future__ import annotations

import os
from pathlib import Path

from storage.cache._file import Descriptor
from storage.cache.stores._plain import PlainFile
from storage.errors import CacheError

__all__ = ["TarFile"]


class TarFile(PlainFile):
    """See `BlobFile`. All of it is ready."""

    gives_back = False

    def _open(self, path: Path) -> int:
        try:
            return Descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise CacheError(f"cannot be opened: {error.strerror}", path=path) from error

    def _size_to(self, expected: int) -> None:
        size = os.fstat(self.fd).st_size
        if size < expected:
            raise CacheError(f"is {size} bytes, the tar is {expected}: remove it", path=self.path)
