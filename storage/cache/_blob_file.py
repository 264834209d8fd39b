"""The files of one blob in a cache folder: ``.blob.data`` and its chunk map."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from storage.cache._chunk_map import IndexedChunkMap
from storage.cache._file import open_file, write_all
from storage.device import BlobFeatures, BlobInfo
from storage.errors import CacheError

__all__ = ["BLOCK", "BlobFile"]

BLOCK = 4096
_PUNCH = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


class BlobFile:
    """The uncompressed bytes of a blob, as far as they are here.

    A chunk's bytes are written first and its bit is set after that; on the way out the bit
    is cleared first. Both survive the death of the process, in that order; nothing is synced,
    so after a power cut the folder is to be removed.
    """

    def __init__(self, folder: Path, info: BlobInfo, count: int) -> None:
        self.path = folder / f"{info.blob_id}.blob.data"
        self.map = IndexedChunkMap(Path(f"{self.path}.chunk_map"), count)
        self._alone = info.has_feature(BlobFeatures.ALIGNED)
        self.fd = -1
        try:
            self.fd = open_file(self.path)
            self._size_to(info.uncompressed_size)
        except BaseException:
            self.close()
            raise

    def _size_to(self, expected: int) -> None:
        """Make a new file as long as the blob; an old one has to be."""
        size = os.fstat(self.fd).st_size
        if size >= expected:
            return
        if self.map.ready.any():
            message = f"is {size} bytes, the blob is {expected}: remove it and its chunk map"
            raise CacheError(message, path=self.path)
        try:
            os.ftruncate(self.fd, expected)
        except OSError as error:
            raise CacheError(f"cannot be made {expected} bytes long: {error.strerror}", path=self.path) from error

    def read(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Fill the buffers from `offset` on."""
        left = sum(len(buffer) for buffer in buffers)
        got = os.preadv(self.fd, buffers, offset)
        if got != left:
            raise CacheError("the cache file ends early: remove it", path=self.path, offset=offset + got)

    def write(self, data: memoryview, offset: int) -> None:
        """Write a chunk's bytes.

        Raises
        ------
        CacheError
            If they cannot be, the disk being full, say.
        """
        write_all(self.fd, self.path, data, offset)

    def punch(self, offset: int, length: int) -> None:
        """Give the space of a chunk back, and nothing else: neighbours may share its first and last block."""
        if self._alone:
            length = -(-length // BLOCK) * BLOCK
        if not _punch_hole(self.fd, offset, length):
            self.write(memoryview(bytes(length)), offset)

    def close(self) -> None:
        """Close both files."""
        self.map.close()
        if self.fd >= 0:
            os.close(self.fd)


def _load_fallocate() -> ctypes._NamedFuncPointer | None:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None, use_errno=True).fallocate
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function


_fallocate = _load_fallocate()


def _punch_hole(fd: int, offset: int, length: int) -> bool:
    """Punch a hole; false where the system or the file system cannot."""
    return _fallocate is not None and _fallocate(fd, _PUNCH, offset, length) == 0
