"""Memory that the processes of a build share: what is read, and what becomes of it."""

from __future__ import annotations

import mmap
import weakref
from typing import NamedTuple

import numpy as np

__all__ = ["Block", "Blocks"]


class Block(NamedTuple):
    """One of the blocks.

    Attributes
    ----------
    number
        Which: the same for all processes.
    plain, stored
        Room for what is read, and for its compressed and encrypted bytes.
    """

    number: int
    plain: memoryview
    stored: memoryview


class Blocks:
    """A fixed number of page-aligned blocks, each used again when nobody here holds a view of it any more.

    What is made before a fork is seen on both sides of it.
    """

    def __init__(self, count: int, plain: int, stored: int) -> None:
        self._plain = -(-plain // mmap.PAGESIZE) * mmap.PAGESIZE
        self._size = self._plain + -(-stored // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, count * self._size)
        self._free = list(reversed(range(count)))

    def take(self) -> Block | None:
        """A block that nobody uses, if there is one."""
        if not self._free:
            return None
        number = self._free.pop()
        lease = np.frombuffer(self._memory, np.uint8, self._size, number * self._size)  # it is what can be watched
        weakref.finalize(lease, self._free.append, number).atexit = False
        return self._block(number, lease.data)

    def __getitem__(self, number: int) -> Block:
        """A block that somebody else has taken."""
        return self._block(number, memoryview(self._memory)[number * self._size :][: self._size])

    def _block(self, number: int, view: memoryview) -> Block:
        return Block(number, view[: self._plain], view[self._plain :])
