"""S3-FIFO: a small queue sifts newcomers, a main one keeps what was asked for again, a ghost one remembers.

Source: Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023, and its authors' code: the
small queue is a tenth of the cache, ghosts are nine, two hits move a chunk to the main queue.
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
_SMALL_LIMIT, _MAIN_LIMIT, _GHOST_LIMIT, _FULL, _LEAVING = 2, 6, 10, 14, 18  # registers
_PROMOTE, _MOST = 2, 3
_ONE = 16  # of a count, in a mark


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_SMALL_LIMIT] = int(capacity * 0.1)
    ints[_MAIN_LIMIT] = capacity - ints[_SMALL_LIMIT]
    ints[_GHOST_LIMIT] = int(capacity * 0.9)
    ints[_LEAVING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    ints[node_of(chunk) + MARK] += _ONE


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    # Until the first eviction the small queue has its share, and the rest goes to the main one.
    filling = ints[_FULL] == 0 and size_of(ints, _SMALL) >= ints[_SMALL_LIMIT]
    push(ints, _MAIN if recall(ints, chunk) == _GHOST or filling else _SMALL, chunk, 0)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    ints[_FULL] = 1
    if chunk >= 0:
        recall(ints, chunk)
    goes = -1
    if size_of(ints, _MAIN) <= ints[_MAIN_LIMIT]:
        goes = _from_small(ints, pinned)
    if goes < 0:
        goes = unused(ints, _MAIN, pinned, _MOST)
    if goes < 0:
        goes = oldest_free(ints, _SMALL, pinned)
    ints[_LEAVING] = goes
    return goes


def _from_small(ints: Any, pinned: Any) -> int:
    """The oldest that was not hit often enough; those that were go to the main queue."""
    node = ints[WIDTH * _SMALL + NEWER]
    while node >= FIRST:
        chunk = chunk_of(node)
        node = ints[node + NEWER]
        if pinned[chunk] == 0:
            if count_of(ints, chunk) < _PROMOTE:
                return chunk
            move(ints, _MAIN, chunk, 0)
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    remember(ints, _SMALL, chunk, _GHOST, ints[_GHOST_LIMIT], _LEAVING)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
