"""Quick demotion, lazy promotion: a small queue in front of a CLOCK with counters, and ghosts of what it dropped.

Source: Yang et al., "FIFO Can Be Better than LRU: the Power of Lazy Promotion and Quick Demotion", HotOS 2023: the
queue is a tenth of the cache, one hit moves a chunk on, counters have two bits.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import (
    FIRST,
    MARK,
    NEWER,
    WIDTH,
    arena,
    chunk_of,
    count_of,
    move,
    node_of,
    oldest_free,
    prepare,
    push,
    recall,
    remember,
    size_of,
    unused,
)

__all__ = ["arena", "functions"]

_SMALL, _MAIN, _GHOST = 0, 1, 2
_MAIN_LIMIT, _GHOST_LIMIT, _LEAVING = 2, 6, 10  # registers
_MOST = 3
_ONE = 16  # of a count, in a mark


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_MAIN_LIMIT] = capacity - int(capacity * 0.1)
    ints[_GHOST_LIMIT] = int(capacity * 0.9)
    ints[_LEAVING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    if count_of(ints, chunk) < _MOST:
        ints[node_of(chunk) + MARK] += _ONE


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    push(ints, _MAIN if recall(ints, chunk) == _GHOST else _SMALL, chunk, 0)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    if chunk >= 0:
        recall(ints, chunk)
    goes = _from_small(ints, pinned)
    if goes < 0:
        goes = unused(ints, _MAIN, pinned, _MOST)
    if goes < 0:
        goes = oldest_free(ints, _SMALL, pinned)
    ints[_LEAVING] = goes
    return goes


def _from_small(ints: Any, pinned: Any) -> int:
    """The oldest that was not hit; those that were are moved on, until the main part has too much."""
    node = ints[WIDTH * _SMALL + NEWER]
    while node >= FIRST and size_of(ints, _MAIN) <= ints[_MAIN_LIMIT]:
        chunk = chunk_of(node)
        node = ints[node + NEWER]
        if pinned[chunk] == 0:
            if count_of(ints, chunk) == 0:
                return chunk
            move(ints, _MAIN, chunk, 0)
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    remember(ints, _SMALL, chunk, _GHOST, ints[_GHOST_LIMIT], _LEAVING)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
