"""The files of one blob in a cache folder: ``.blob.data`` and its chunk map."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from storage.cache._chunk_map import IndexedChunkMap
from storage.device import BlobInfo
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
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(self.fd).st_size
        if size < info.uncompressed_size:
            if self.map.ready.any():
                message = f"is {size} bytes, the blob is {info.uncompressed_size}: remove it and its chunk map"
                raise CacheError(message, path=self.path)
            os.ftruncate(self.fd, info.uncompressed_size)

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
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self.fd, data[written:], offset + written)
        except OSError as error:
            remedy = ": free some space or set a capacity" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise CacheError(f"cannot be written: {error.strerror}{remedy}", path=self.path, offset=offset) from error

    def punch(self, offset: int, length: int) -> None:
        """Give the space of a chunk back; `offset` is a multiple of the block size."""
        length = -(-length // BLOCK) * BLOCK
        if not _punch_hole(self.fd, offset, length):
            self.write(memoryview(bytes(length)), offset)

    def close(self) -> None:
        """Close both files."""
        self.map.close()
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
