"""What all kinds of cache file have: a file descriptor, a size, a chunk map."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from storage.cache._file import open_file, refused, write_all
from storage.cache.maps import ChunkMap
from storage.codec import remember
from storage.errors import CacheError, StorageError
from storage.image.blob_info import BlobInfo
from storage.image.decode import Decoder, Fetched
from storage.plan import Layout

__all__ = ["BLOCK", "BlobFile", "Source"]

BLOCK = 4096
_PUNCH = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


class Source:
    """The blob that a file is the cache of.

    Parameters
    ----------
    info
        The blob.
    layout
        Where chunks lie, as memoryviews; see `storage.plan.plan_layout`.
    decoder
        How they are decoded and verified.
    rows
        The blob's.
    writable
        Whether anything may be changed.
    digests
        Those of ready chunks, for maps that are in memory only; all caches of the blob share them.
    """

    __slots__ = ("decoder", "digests", "info", "layout", "rows", "writable")

    def __init__(
        self,
        info: BlobInfo,
        layout: Layout,
        decoder: Decoder,
        rows: range,
        writable: bool = True,
        digests: set[bytes] | None = None,
    ) -> None:
        self.info = info
        self.layout = layout
        self.decoder = decoder
        self.rows = rows
        self.writable = writable
        self.digests = set() if digests is None else digests


class BlobFile:
    """The uncompressed bytes of a blob, as far as they are here: ``<blob>.blob.data``.

    A chunk's bytes are written first and its bit is set after that; on the way out the bit
    is cleared first. Both survive the death of the process, in that order; nothing is synced,
    so after a power cut the folder is to be removed.

    Attributes
    ----------
    is_plain
        Whether a chunk's bytes in the file are the chunk's, and no more than a read is needed.
    gives_back
        Whether space can be given back.
    parts
        Whether that of a single chunk can; else that of a unit.
    """

    is_plain = True
    gives_back = parts = True

    def __init__(self, path: Path, size: int, source: Source, chunk_map: ChunkMap) -> None:
        self.path = path
        self.map = chunk_map
        self._source = source
        self._alone = False
        self._name = object()  # and not the file itself, which may be gone before it is forgotten
        self.fd = -1
        try:
            self.fd = self._open(path)
            self._size_to(size)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> int:
        return open_file(path, self._source.writable)

    def _size_to(self, expected: int) -> None:
        """Make a new file as long as the blob; an old one has to be."""
        size = os.fstat(self.fd).st_size if self.fd >= 0 else 0
        if size >= expected or not (self._source.writable or self.map.ready.any()):
            return
        if self.map.ready.any():
            message = f"is {size} bytes, the blob is {expected}: remove it and its chunk map"
            raise CacheError(message, path=self.path)
        try:
            os.ftruncate(self.fd, expected)
        except OSError as error:
            raise refused(f"cannot be made {expected} bytes long", error, self.path) from error

    def read(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Fill the buffers from `offset` of the file on."""
        left = sum(len(buffer) for buffer in buffers)
        got = os.preadv(self.fd, buffers, offset)
        if got != left:
            raise CacheError("the cache file ends early: remove it", path=self.path, offset=offset + got)

    def write(self, data: memoryview | bytes | bytearray, offset: int) -> None:
        """Write at `offset` of the file.

        Raises
        ------
        CacheError
            If it cannot be done, the disk being full, say.
        """
        write_all(self.fd, self.path, memoryview(data), offset)

    def put(self, row: int, plain: memoryview, stored: memoryview | None) -> None:
        """Write a chunk: its bytes, and its unit's in the backend, or None when that was put already.

        Raises
        ------
        CacheError
            See `write`.
        """
        raise NotImplementedError

    def chunk(self, row: int) -> memoryview:
        """Read a whole chunk, decode and verify it; valid until the next call in this thread.

        While that thread has it in its buffers still, it is not read again: what a chunk is never changes.

        Raises
        ------
        IntegrityError
            If a chunk is not what the image says.
        CacheError
            If the file ends early.
        """
        raise NotImplementedError

    def check(self, row: int) -> None:
        """See that a chunk is in the file as it should be; see `chunk` for what is raised where it is not."""
        remember(None, None)
        self.chunk(row)

    def hold(self, row: int, plain: memoryview, unit: Fetched) -> None:
        """Remember a chunk that was put, and that the thread's buffers hold."""
        remember((self._name, row), plain)

    def place(self, row: int) -> tuple[int, int]:
        """Where a chunk's bytes are in the file, and how many."""
        return self._source.layout.offset[row], self._source.layout.size[row]

    def remove(self, row: int) -> None:
        """Give the space of a chunk back."""
        self.punch(*self.place(row))

    def remove_shared(self, row: int, status: Sequence[int]) -> None:
        """Give back what is shared with neighbours, of those that are gone, too; the cache's lock is held."""

    def look_through(self) -> list[int]:
        """Which chunks are in the file, whatever the map says; what is there besides is given back."""
        rows = [row for row in self._source.rows if not self._is_hole(*self.place(row))]
        found = [row for row in rows if self._source.layout.known[row] and self._is_right(row)]
        kept = {self.place(row) for row in found}
        for row in rows:
            if self.place(row) not in kept:
                self.remove(row)
        return found

    def _is_right(self, row: int) -> bool:
        try:
            self.check(row)
        except StorageError:
            return False
        return True

    def _is_hole(self, offset: int, length: int) -> bool:
        try:
            return os.lseek(self.fd, offset, os.SEEK_DATA) >= offset + length
        except OSError as error:
            return error.errno == errno.ENXIO  # nothing but a hole from here on

    def punch(self, offset: int, length: int) -> None:
        """Give space back, and nothing else: neighbours may share its first and last block."""
        if self._alone:
            length = -(-length // BLOCK) * BLOCK
        if not _punch_hole(self.fd, offset, length):
            self.write(bytes(length), offset)

    def close(self) -> None:
        """Close both files."""
        self.map.close()
        self.fd = -1


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
