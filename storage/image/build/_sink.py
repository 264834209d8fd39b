"""A blob that is being written, and its checksum."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

__all__ = ["Sink"]

_AT_ONCE = 1 << 20  # bytes that are worth a hand-over
_AHEAD = 8 << 20  # bytes that may wait to be written
_SMALL = 32 << 10  # what is shorter is copied together

Data = bytes | memoryview


class Sink:
    """A blob that is being written: its file, and the SHA-256 of what went there.

    Both are done by a thread of its own, a MiB or so at a time.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._checksum = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1)
        self._under_way: deque[Future[int]] = deque()
        self._parts: list[Data] = []
        self._waiting = 0
        self._ahead = 0
        self.size = 0

    def write(self, data: Data, counted: bool = True) -> None:
        """Append bytes, which may not change from now on; those not `counted` are left out of the SHA-256."""
        if not counted:
            self._flush()
            self._put_down(data)
        else:
            # Small ones are copied anyway, and should not keep a whole block from being used again.
            self._parts.append(data if len(data) >= _SMALL else bytes(data))
            self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _AT_ONCE:
            self._hand_over()

    def _hand_over(self) -> None:
        if not self._parts:
            return
        self._under_way.append(self._pool.submit(self._put, self._parts, self._waiting))
        self._ahead += self._waiting
        self._parts, self._waiting = [], 0
        while self._ahead > _AHEAD and len(self._under_way) > 1:
            self.settle()

    def settle(self) -> None:
        """Wait until the oldest of what is on its way is written, and let go of."""
        if not self._under_way:
            self._hand_over()
        self._ahead -= self._under_way.popleft().result()

    def _put(self, parts: list[Data], size: int) -> int:
        for data in _joined(parts):
            self._checksum.update(data)
            self._put_down(data)
        parts.clear()
        return size

    def _put_down(self, data: Data) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _flush(self) -> None:
        self._hand_over()
        while self._under_way:
            self.settle()

    def close(self) -> None:
        """Have everything written, and end the thread."""
        try:
            self._flush()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def digest(self) -> bytes:
        """The SHA-256 so far."""
        self._flush()
        return self._checksum.digest()

    def hexdigest(self) -> str:
        """The SHA-256 so far, in hex."""
        return self.digest().hex()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _joined(parts: list[Data]) -> Iterator[Data]:
    """The parts in order; of small ones as many as follow each other, in one."""
    small: list[Data] = []
    for part in parts:
        if len(part) < _SMALL:
            small.append(part)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield part
    if small:
        yield b"".join(small)
