"""LRU-K with K = 2: who was used but once goes first, oldest first, then whose last use but one is longest ago.

Source: O'Neil, O'Neil and Weikum, "The LRU-K Page Replacement Algorithm for Database Disk Buffering", SIGMOD 1993.
What has left is forgotten: no history is kept of chunks that are not cached.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._heap import COUNT, arena, chunk_at, clear, forget, insert, least, rank

__all__ = ["arena", "functions"]

_CLOCK = 3  # in ints
_USED_ONCE = 1.0e15  # below all that were used twice


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, floats, sizes)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    at = chunk_at(ints, chunk)
    before = ints[at + COUNT]
    ints[_CLOCK] += 1
    ints[at + COUNT] = ints[_CLOCK]
    rank(ints, floats, chunk, float(before))


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_CLOCK] += 1
    ints[chunk_at(ints, chunk) + COUNT] = ints[_CLOCK]
    insert(ints, floats, chunk, ints[_CLOCK] - _USED_ONCE)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    return least(ints, floats, pinned)


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    forget(ints, floats, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
