"""Most recently used: what was served last goes first, which is right for loops that are longer than the cache."""

from __future__ import annotations

from typing import Any

from workbench.policy._lru import functions as lru
from workbench.policy._queue import OLDER, arena, chunk_of

__all__ = ["arena", "functions"]


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    node = ints[OLDER]
    while node != 0:
        newest = chunk_of(node)
        if pinned[newest] == 0:
            return newest
        node = ints[node + OLDER]
    return -1


functions = lru._replace(victim=_victim)
