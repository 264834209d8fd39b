"""Upstream's file of bits: a header of 4096 bytes, then a bit each, the most significant first.

Written with plain writes, never through a map: a store into a hole of a full disk would be a
SIGBUS.

Source: nydus ``storage/src/cache/state/persist_map.rs``.
"""

from __future__ import annotations

import contextlib
import fcntl
import operator
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.cache._file import open_file, refused, write_all
from storage.errors import CacheError

__all__ = ["HEADER_SIZE", "PersistMap", "read_bits"]

HEADER_SIZE = 4096
_HEADER = struct.Struct("<4sI4s4s")
_MAGIC, _VERSION, _MAGIC2, _ALL_READY = b"PAMB", 1, b"PAMC", b"PAMM"


def read_bits(path: Path, count: int) -> npt.NDArray[np.bool_]:
    """The first `count` bits of a file.

    Raises
    ------
    CacheError
        If it is not a file of that many bits, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refused("cannot be read", error, path) from error
    expected = HEADER_SIZE + (count + 7) // 8
    if len(data) != expected:
        raise CacheError(f"is {len(data)} bytes, a map of {count} chunks is {expected}: remove it", path=path)
    magic, version, magic2, all_ready = _HEADER.unpack_from(data)
    if magic != _MAGIC or (version >= 1 and magic2 != _MAGIC2):
        raise CacheError("is not a chunk map: remove it", path=path, offset=0)
    if version >= 1 and all_ready == _ALL_READY:
        return np.ones(count, np.bool_)
    return np.unpackbits(np.frombuffer(data, np.uint8, offset=HEADER_SIZE), count=count).view(np.bool_)


class PersistMap:
    """Bits in a file, opened for change and made where it is not there; or else only read, and none if it is not there.

    Attributes
    ----------
    bits : (n,) bool
        As they were when it was opened.
    """

    def __init__(self, path: Path, count: int, writable: bool = True) -> None:
        self.path = path
        self._fd = open_file(path, writable)
        if not writable:
            self.bits = np.zeros(count, np.bool_) if self._is_unfinished() else self._read(count)
            return
        try:
            with self._alone():
                if self._is_unfinished():
                    # All of it is written, so that a bit never has to find room for itself; the header
                    # last, so that a map which was not finished is made again.
                    self._put(bytes(HEADER_SIZE + (count + 7) // 8), 0)
                    self._put(_HEADER.pack(_MAGIC, _VERSION, _MAGIC2, b"\0" * 4), 0)
            self.bits = read_bits(path, count)
            if _HEADER.unpack_from(os.pread(self._fd, _HEADER.size, 0))[3] == _ALL_READY:
                self._forget_all_ready()
        except BaseException:
            self.close()
            raise

    def _is_unfinished(self) -> bool:
        return self._fd < 0 or not any(os.pread(self._fd, _HEADER.size, 0))

    def _read(self, count: int) -> npt.NDArray[np.bool_]:
        try:
            return read_bits(self.path, count)
        except BaseException:
            self.close()
            raise

    def _forget_all_ready(self) -> None:
        """Say it bit by bit, so that one can be cleared."""
        self._put(np.packbits(self.bits).tobytes(), HEADER_SIZE)
        self._put(b"\0" * 4, 12)

    def look(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Bits as they are on disk now."""
        first = start >> 3
        data = np.frombuffer(self._held(first, ((stop + 7) >> 3) - first), np.uint8)
        return np.unpackbits(data)[start - 8 * first : stop - 8 * first].view(np.bool_)

    def set(self, indexes: Sequence[int]) -> None:
        """Set bits, ascending, with one write for the bytes that they lie in."""
        start = indexes[0] >> 3
        bits = bytearray((indexes[-1] >> 3) + 1 - start)
        for index in indexes:
            bits[(index >> 3) - start] |= 0x80 >> (index & 7)
        with self._alone():
            self._put(bytes(map(operator.or_, self._held(start, len(bits)), bits)), HEADER_SIZE + start)

    def clear(self, index: int) -> None:
        """Clear a bit."""
        with self._alone():
            (held,) = self._held(index >> 3, 1)
            self._put(bytes([held & ~(0x80 >> (index & 7))]), HEADER_SIZE + (index >> 3))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes the file: other processes mark chunks, too."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _held(self, start: int, length: int) -> bytes:
        """Bytes of bits as they are on disk; none are set where a folder may not be written to and has no map."""
        held = b"" if self._fd < 0 else os.pread(self._fd, length, HEADER_SIZE + start)
        return held.ljust(length, b"\0")

    def _put(self, data: bytes | bytearray, offset: int) -> None:
        write_all(self._fd, self.path, memoryview(data), offset)

    def close(self) -> None:
        """Close the file."""
        self._fd = -1
