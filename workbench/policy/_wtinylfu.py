"""W-TinyLFU: a small LRU window, and a segmented LRU that takes from it only who is used more than who would go.

Source: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017: the window
has a hundredth, the protected part four fifths of the rest; uses are counted to 15 and halved after ten times as
many uses as there are chunks in the cache. Chunks are numbered, so each has a counter of its own: no sketch.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import SIZE, move, node_of, oldest, oldest_free, prepare, push, size_of, take, where
from workbench.policy._lists import arena as _lists_arena

__all__ = ["arena", "functions"]

_WINDOW, _PROBATION, _PROTECTED = 0, 1, 2
_WINDOW_LIMIT, _MAIN_LIMIT, _PROTECTED_LIMIT, _SAMPLES, _HELD, _CHUNKS = 2, 6, 10, 14, 18, 22  # registers
_MOST = 15.0


def arena(chunks: int) -> tuple[int, int]:
    """Nodes, and how often each chunk was used."""
    return _lists_arena(chunks)[0], chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_WINDOW_LIMIT] = capacity // 100
    ints[_MAIN_LIMIT] = capacity - ints[_WINDOW_LIMIT]
    ints[_PROTECTED_LIMIT] = ints[_MAIN_LIMIT] * 4 // 5
    ints[_CHUNKS] = len(sizes)
    for chunk in range(len(sizes)):
        floats[chunk] = 0.0


def _count(ints: Any, floats: Any, chunk: int) -> None:
    floats[chunk] = min(floats[chunk] + 1.0, _MOST)
    ints[_SAMPLES] += 1
    # Halving is for all chunks, those that are known but not cached, too: not more often than there are any.
    if ints[_SAMPLES] >= 10 * ints[_HELD] and ints[_SAMPLES] >= ints[_CHUNKS]:
        ints[_SAMPLES] = 0
        for known in range(ints[_CHUNKS]):
            floats[known] = float(int(floats[known]) >> 1)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    _count(ints, floats, chunk)
    if where(ints, chunk) == _WINDOW:
        move(ints, _WINDOW, chunk, 0)
        return
    move(ints, _PROTECTED, chunk, 0)
    while size_of(ints, _PROTECTED) > ints[_PROTECTED_LIMIT]:
        move(ints, _PROBATION, oldest(ints, _PROTECTED), 0)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_HELD] += 1
    _count(ints, floats, chunk)
    push(ints, _WINDOW, chunk, 0)
    while size_of(ints, _WINDOW) > ints[_WINDOW_LIMIT] and _fits(ints, oldest(ints, _WINDOW)):
        move(ints, _PROBATION, oldest(ints, _WINDOW), 0)


def _fits(ints: Any, chunk: int) -> bool:
    main = size_of(ints, _PROBATION) + size_of(ints, _PROTECTED)
    return bool(main + ints[node_of(chunk) + SIZE] <= ints[_MAIN_LIMIT])


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    candidate = oldest_free(ints, _WINDOW, pinned)
    while candidate >= 0 and _fits(ints, candidate):
        move(ints, _PROBATION, candidate, 0)
        candidate = oldest_free(ints, _WINDOW, pinned)
    goes = oldest_free(ints, _PROBATION, pinned)
    if goes < 0:
        goes = oldest_free(ints, _PROTECTED, pinned)
    if candidate >= 0 and (goes < 0 or floats[candidate] <= floats[goes]):
        return candidate
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    ints[_HELD] -= 1
    take(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
