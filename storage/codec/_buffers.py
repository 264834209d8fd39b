"""Buffers for fetched and decoded bytes: page-aligned, one pair a thread, kept.

A page-aligned buffer makes `pread` several times faster than one that begins 16 bytes into a
page, which is where `bytearray` and `numpy` put large ones. One of pages of 2 MiB, where the kernel
has them, costs one fault instead of 512.

What a thread decoded last stays in its buffers until it asks for one again. Who reads a chunk in
small pieces finds it there: a memory that needs no room of its own, and no lock.
"""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

__all__ = ["buffer", "new_pages", "recall", "remember"]

_KEPT = 16 << 20
_HUGE = 2 << 20


class _Local(threading.local):
    known: tuple[Hashable, Any] = None, None


_local = _Local()


def new_pages(length: int) -> mmap.mmap:
    """Fresh zeros, page-aligned, that no other process shares."""
    if sys.platform == "win32":
        return mmap.mmap(-1, length)
    pages = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if length >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # of a kernel that was built without
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def buffer(name: str, length: int) -> memoryview:
    """`length` bytes of the calling thread's buffer of that name; its content is anything.

    Valid until the thread asks for the same name again.
    """
    _local.known = None, None
    if length > _KEPT:
        return memoryview(new_pages(length))
    kept: memoryview | None = getattr(_local, name, None)
    if kept is None or len(kept) < length:
        kept = memoryview(new_pages(max(length, _HUGE)))
        setattr(_local, name, kept)
    return kept[:length]


def remember(key: Hashable, thing: Any) -> None:
    """Say what the calling thread's buffers hold: `thing`, which is views of them; by None, nothing of use."""
    _local.known = key, thing


def recall(key: Hashable) -> Any:
    """What was remembered last, if by that key and no buffer was asked for since; else None."""
    known, thing = _local.known
    return thing if known == key else None
