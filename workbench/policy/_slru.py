"""Segmented LRU: each hit lifts a chunk by one segment; what a segment has too much of sinks by one.

Source: Karedla, Love and Wherry, "Caching Strategies to Improve Disk System Performance", 1994, with four
equal segments. Hits evict nothing: what sinks below its share waits in the lowest segment for an eviction.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import SIZE, arena, move, node_of, oldest, oldest_free, prepare, push, size_of, take, where

__all__ = ["arena", "functions"]

_SEGMENTS = 4
_LIMIT = 2  # register: bytes of a segment


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_LIMIT] = capacity // _SEGMENTS


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    segment = min(where(ints, chunk) + 1, _SEGMENTS - 1)
    move(ints, segment, chunk, 0)
    while segment > 0:
        while size_of(ints, segment) > ints[_LIMIT]:
            move(ints, segment - 1, oldest(ints, segment), 0)
        segment -= 1


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    # As long as there is room, newcomers fill the upper segments, too.
    lowest = 0
    size = ints[node_of(chunk) + SIZE]
    while lowest < _SEGMENTS and size_of(ints, lowest) + size > ints[_LIMIT]:
        lowest += 1
    push(ints, lowest if lowest < _SEGMENTS else 0, chunk, 0)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    for segment in range(_SEGMENTS):
        goes = oldest_free(ints, segment, pinned)
        if goes >= 0:
            return goes
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    take(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
