"""Buffers for fetched and decoded bytes: page-aligned, one pair a thread, kept.

A page-aligned buffer makes `pread` several times faster than one that begins 16 bytes into a
page, which is where `bytearray` and `numpy` put large ones.
"""

from __future__ import annotations

import mmap
import threading

__all__ = ["buffer"]

_KEPT = 16 << 20
_local = threading.local()


def buffer(name: str, length: int) -> memoryview:
    """`length` bytes of the calling thread's buffer of that name; its content is anything.

    Valid until the thread asks for the same name again.
    """
    if length > _KEPT:
        return memoryview(mmap.mmap(-1, length))
    kept: memoryview | None = getattr(_local, name, None)
    if kept is None or len(kept) < length:
        kept = memoryview(mmap.mmap(-1, max(length, 1 << 20)))
        setattr(_local, name, kept)
    return kept[:length]
