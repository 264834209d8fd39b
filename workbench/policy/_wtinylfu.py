"""W-TinyLFU: a small LRU window, and a segmented LRU that takes from it only who is used more than who would go.

Source: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017: the window
has a hundredth, the protected part four fifths of the rest. A newcomer that the window has no place for at all is
compared at once.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import SIZE, move, node_of, oldest, oldest_free, prepare, push, size_of, take, where
from workbench.policy._lists import arena as _lists_arena
from workbench.policy._uses import FIRST, begin, count, use

__all__ = ["arena", "functions"]

_WINDOW, _PROBATION, _PROTECTED = 0, 1, 2
_WINDOW_LIMIT, _MAIN_LIMIT, _PROTECTED_LIMIT, _USES, _COMPARED = 2, 6, 10, 14, 18  # registers


def arena(chunks: int) -> tuple[int, int]:
    """Nodes, and how often each chunk was used."""
    return _lists_arena(chunks)[0] + FIRST + chunks, 1


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_WINDOW_LIMIT] = capacity // 100
    ints[_MAIN_LIMIT] = capacity - ints[_WINDOW_LIMIT]
    ints[_PROTECTED_LIMIT] = ints[_MAIN_LIMIT] * 4 // 5
    ints[_USES] = node_of(len(sizes))
    ints[_COMPARED] = -1
    begin(ints[ints[_USES] :], sizes, capacity)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    use(ints[ints[_USES] :], chunk)
    if where(ints, chunk) == _WINDOW:
        move(ints, _WINDOW, chunk, 0)
        return
    move(ints, _PROTECTED, chunk, 0)
    while size_of(ints, _PROTECTED) > ints[_PROTECTED_LIMIT]:
        move(ints, _PROBATION, oldest(ints, _PROTECTED), 0)


def _admits(ints: Any, floats: Any, chunk: int) -> int:
    use(ints[ints[_USES] :], chunk)
    ints[_COMPARED] = -1
    return 1


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
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
    if goes < 0:
        return candidate
    if candidate >= 0:
        return goes if _outdoes(ints, candidate, goes) else candidate
    if chunk >= 0 and ints[_COMPARED] != chunk:
        if not _outdoes(ints, chunk, goes):
            return -1
        ints[_COMPARED] = chunk
    return goes


def _outdoes(ints: Any, candidate: int, victim: int) -> bool:
    uses = ints[ints[_USES] :]
    return count(uses, candidate) > count(uses, victim)


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    take(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove, _admits)
