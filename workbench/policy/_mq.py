"""Multi-queue: LRU lists by the logarithm of use counts; what is not used for a while sinks, ghosts keep counts.

Source: Zhou, Philbin and Li, "The Multi-Queue Replacement Algorithm for Second Level Buffer Caches", USENIX ATC
2001: eight queues, a lifetime of 10,000 uses, and ghosts for four times the cache.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import (
    FIRST,
    MARK,
    NEWER,
    NOWHERE,
    WIDTH,
    bounded,
    chunk_of,
    count_of,
    move,
    node_of,
    oldest_free,
    prepare,
    push,
    take,
    where,
)
from workbench.policy._lists import arena as _lists_arena

__all__ = ["arena", "functions"]

_QUEUES = 8
_GHOST = _QUEUES
_LIFETIME = 10_000
_GHOST_LIMIT, _CLOCK, _LEAVING = 2, 6, 10  # registers
_BITS = 4


def arena(chunks: int) -> tuple[int, int]:
    """Nodes, and when each chunk's time in its queue is over."""
    return _lists_arena(chunks)[0], chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_GHOST_LIMIT] = 4 * capacity
    ints[_LEAVING] = -1


def _queue(count: int) -> int:
    queue = 0
    while count > 1 and queue < _QUEUES - 1:
        count >>= 1
        queue += 1
    return queue


def _recall(ints: Any, chunk: int) -> int:
    """Take a ghost out and keep its count, until it is pushed. Returns the count."""
    count = count_of(ints, chunk)
    if where(ints, chunk) == _GHOST:
        take(ints, chunk)
        ints[node_of(chunk) + MARK] = NOWHERE + (count << _BITS)
    return count


def _used(ints: Any, floats: Any, chunk: int) -> None:
    """One more use is over: of each queue, the oldest sinks if its time is."""
    floats[chunk] = ints[_CLOCK] + _LIFETIME
    ints[_CLOCK] += 1
    for queue in range(1, _QUEUES):
        node = ints[WIDTH * queue + NEWER]
        if node >= FIRST and floats[chunk_of(node)] < ints[_CLOCK]:
            sinks = chunk_of(node)
            move(ints, queue - 1, sinks, count_of(ints, sinks))
            floats[sinks] = ints[_CLOCK] + _LIFETIME


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    count = count_of(ints, chunk) + 1
    move(ints, _queue(count), chunk, count)
    _used(ints, floats, chunk)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    count = _recall(ints, chunk) + 1
    push(ints, _queue(count), chunk, count)
    _used(ints, floats, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    if chunk >= 0:
        _recall(ints, chunk)
    goes, queue = -1, 0
    while goes < 0 and queue < _QUEUES:
        goes = oldest_free(ints, queue, pinned)
        queue += 1
    ints[_LEAVING] = goes
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    count, evicted = count_of(ints, chunk), ints[_LEAVING] == chunk
    take(ints, chunk)
    if evicted:
        bounded(ints, _GHOST, chunk, count, ints[_GHOST_LIMIT])
    ints[_LEAVING] = -1


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
