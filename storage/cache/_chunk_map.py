"""Which chunks are in the cache file: upstream's ``<blob>.blob.data.chunk_map``.

A header of 4096 bytes, then a bit a chunk, the most significant first. Written with plain
writes, never through a map: a store into a hole of a full disk would be a SIGBUS.

Source: nydus ``storage/src/cache/state/persist_map.rs``.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.cache._file import open_file, write_all
from storage.errors import CacheError

__all__ = ["HEADER_SIZE", "IndexedChunkMap", "read_chunk_map"]

HEADER_SIZE = 4096
_HEADER = struct.Struct("<4sI4s4s")
_MAGIC, _VERSION, _MAGIC2, _ALL_READY = b"PAMB", 1, b"PAMC", b"PAMM"


def read_chunk_map(path: Path, count: int) -> npt.NDArray[np.bool_]:
    """Which of `count` chunks are ready, as the file says.

    Raises
    ------
    CacheError
        If the file is not a chunk map of that many chunks.
    """
    data = path.read_bytes()
    expected = HEADER_SIZE + (count + 7) // 8
    if len(data) != expected:
        raise CacheError(f"is {len(data)} bytes, a map of {count} chunks is {expected}: remove it", path=path)
    magic, version, magic2, all_ready = _HEADER.unpack_from(data)
    if magic != _MAGIC or (version >= 1 and magic2 != _MAGIC2):
        raise CacheError("is not a chunk map: remove it", path=path, offset=0)
    if version >= 1 and all_ready == _ALL_READY:
        return np.ones(count, np.bool_)
    return np.unpackbits(np.frombuffer(data, np.uint8, offset=HEADER_SIZE), count=count).astype(np.bool_)


class IndexedChunkMap:
    """The map of one blob, opened for change; created where it is not there."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self._fd = open_file(path)
        try:
            if os.fstat(self._fd).st_size == 0:
                # All of it is written, so that a bit never has to find room for itself.
                whole = HEADER_SIZE + (count + 7) // 8
                self._put(_HEADER.pack(_MAGIC, _VERSION, _MAGIC2, b"\0" * 4).ljust(whole, b"\0"), 0)
            self.ready = read_chunk_map(path, count)
            self._bits = bytearray(np.packbits(self.ready))
            if _HEADER.unpack_from(os.pread(self._fd, _HEADER.size, 0))[3] == _ALL_READY:
                self._forget_all_ready()
        except BaseException:
            os.close(self._fd)
            raise

    def _forget_all_ready(self) -> None:
        """Say it bit by bit, so that one can be cleared."""
        self._put(bytes(self._bits), HEADER_SIZE)
        self._put(b"\0" * 4, 12)

    def set_ready(self, first: int, last: int, indexes: list[int]) -> None:
        """Mark chunks as ready, with one write for the bytes that `first` to `last` lie in."""
        start, end = first >> 3, (last >> 3) + 1
        before = self._bits[start:end]
        for index in indexes:
            self._bits[index >> 3] |= 0x80 >> (index & 7)
        try:
            self._write(start, end)
        except CacheError:
            self._bits[start:end] = before
            raise

    def clear(self, index: int) -> None:
        """Mark a chunk as gone."""
        self._bits[index >> 3] &= ~(0x80 >> (index & 7))
        self._write(index >> 3, (index >> 3) + 1)

    def _write(self, start: int, end: int) -> None:
        self._put(self._bits[start:end], HEADER_SIZE + start)

    def _put(self, data: bytes | bytearray, offset: int) -> None:
        write_all(self._fd, self.path, memoryview(data), offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
