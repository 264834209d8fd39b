"""CACHEUS: a scan-resistant LRU or a churn-resistant LFU, by weights that a ghost lowers when who evicted it was wrong.

Source: Rodriguez et al., "Learning Cache Replacement with CACHEUS", FAST 2021. SR-LRU has a queue of newcomers and of
what sank out of the stack of chunks that were used again, and moves the border between them; CR-LFU has of equally
used chunks the newest go. The learning rate follows the hit ratio. Of sized chunks limits are bytes, and the border
moves by a chunk's. The draws are those of one seed.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._heap import COUNT, chunk_at, clear, forget, insert, least, rank
from workbench.policy._heap import arena as _heap_arena
from workbench.policy._learningrate import WEIGHTS, begin, blame, drawn, tick
from workbench.policy._lists import (
    SIZE,
    bounded,
    count_of,
    move,
    node_of,
    oldest,
    oldest_free,
    prepare,
    push,
    recall,
    size_of,
    take,
    where,
)
from workbench.policy._lists import arena as _lists_arena

__all__ = ["arena", "functions"]

_STACK, _QUEUE, _LRU_GHOST, _LFU_GHOST = 0, 1, 2, 3
_DEMOTED, _NEW = 1, 2  # flags, for a count of a chunk in a list
# Registers: how many are demoted, and how many went before they were used again; the border; who goes and by whom.
_SUNK, _UNUSED, _LIMIT, _CAPACITY, _GHOST_LIMIT, _LEAVING, _EXPERT, _HEAP, _EVICTED = 2, 6, 10, 14, 18, 22, 26, 30, 34
_USED = float(1 << 30)  # of a priority; below it, the newest goes


def arena(chunks: int) -> tuple[int, int]:
    """Lists, then a heap; what is learnt is in the heap's registers."""
    ints, floats = _heap_arena(chunks)
    return _lists_arena(chunks)[0] + ints, floats


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_HEAP] = node_of(len(sizes))
    clear(ints[ints[_HEAP] :], floats, sizes)
    begin(ints[ints[_HEAP] :], floats, sizes, capacity)
    ints[_CAPACITY] = capacity
    ints[_LIMIT] = capacity - max(1, (capacity + 50) // 100)
    ints[_GHOST_LIMIT] = capacity // 2
    ints[_LEAVING] = -1


def _priority(heap: Any, chunk: int, clock: int) -> float:
    return float(heap[chunk_at(heap, chunk) + COUNT] * _USED - clock)


def _more(ints: Any, chunk: int, several: int, few: int) -> int:
    """How far the border moves: a chunk's bytes, as often as there are more of the several."""
    times = (2 * several + max(few, 1)) // (2 * max(few, 1))
    return int(ints[node_of(chunk) + SIZE] * max(times, 1))


def _sink(ints: Any) -> None:
    """The stack's oldest go to the queue, until the stack is within its limit."""
    while size_of(ints, _STACK) > ints[_LIMIT]:
        ints[_SUNK] += 1
        move(ints, _QUEUE, oldest(ints, _STACK), _DEMOTED)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    heap = ints[ints[_HEAP] :]
    clock = tick(heap, floats, 1)
    heap[chunk_at(heap, chunk) + COUNT] += 1
    rank(heap, floats, chunk, _priority(heap, chunk, clock))
    if where(ints, chunk) == _QUEUE and count_of(ints, chunk) & _DEMOTED:
        ints[_SUNK] -= 1
        wider = ints[_LIMIT] + _more(ints, chunk, ints[_UNUSED], ints[_SUNK] + 1)
        ints[_LIMIT] = max(min(wider, ints[_CAPACITY] - 1), 0)
    move(ints, _STACK, chunk, 0)
    _sink(ints)
    ints[_LEAVING] = -1


def _admits(ints: Any, floats: Any, chunk: int) -> int:
    tick(ints[ints[_HEAP] :], floats, 0)
    ints[_EVICTED] = 0
    return 1


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    heap = ints[ints[_HEAP] :]
    _come_back(ints, floats, chunk)
    known, size = recall(ints, chunk) >= 0, ints[node_of(chunk) + SIZE]
    at = chunk_at(heap, chunk) + COUNT
    heap[at] = heap[at] + 1 if known else 1
    insert(heap, floats, chunk, _priority(heap, chunk, tick(heap, floats, -1)))
    filling = size_of(ints, _QUEUE) == 0 and size_of(ints, _STACK) + size <= ints[_LIMIT]
    if known or filling:
        push(ints, _STACK, chunk, 0)
    else:
        spare = size_of(ints, _QUEUE) + size <= ints[_CAPACITY] - ints[_LIMIT]
        push(ints, _QUEUE, chunk, 0 if spare and ints[_EVICTED] == 0 else _NEW)
    _sink(ints)
    ints[_LEAVING] = -1


def _come_back(ints: Any, floats: Any, chunk: int) -> None:
    """A miss of a ghost lowers the weight of who evicted it; a newcomer's wants a longer queue."""
    which = where(ints, chunk)
    if which != _LRU_GHOST and which != _LFU_GHOST:
        return
    if which == _LRU_GHOST and count_of(ints, chunk) & _NEW:
        ints[_UNUSED] -= 1
        ints[_LIMIT] = max(ints[_LIMIT] - _more(ints, chunk, ints[_SUNK], ints[_UNUSED] + 1), 0)
    blame(floats, which - _LRU_GHOST)
    recall(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    heap = ints[ints[_HEAP] :]
    if chunk >= 0:
        _come_back(ints, floats, chunk)
    goes = ints[_LEAVING]
    if goes >= 0 and pinned[goes] == 0:
        return int(goes)
    queued, rarest = oldest_free(ints, _QUEUE, pinned), least(heap, floats, pinned)
    if queued < 0:
        queued = oldest_free(ints, _STACK, pinned)
    by_lru = drawn(heap, floats[WEIGHTS])
    ints[_LEAVING] = queued if by_lru else rarest
    # Whom both would evict, nobody is to blame for.
    ints[_EXPERT] = -1
    if queued != rarest:
        ints[_EXPERT] = _LRU_GHOST if by_lru else _LFU_GHOST
    return int(ints[_LEAVING])


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    flags, evicted, expert = count_of(ints, chunk), ints[_LEAVING] == chunk, ints[_EXPERT]
    ints[_LEAVING] = -1
    ints[_EVICTED] = 1
    ints[_SUNK] -= flags & _DEMOTED
    take(ints, chunk)
    forget(ints[ints[_HEAP] :], floats, chunk)
    if not evicted or expert < 0:
        return
    size = ints[node_of(chunk) + SIZE]
    while size_of(ints, expert) > 0 and size_of(ints, expert) + size > ints[_GHOST_LIMIT]:
        ints[_UNUSED] -= 1 if count_of(ints, oldest(ints, expert)) & _NEW else 0
        take(ints, oldest(ints, expert))
    new = flags & _NEW if expert == _LRU_GHOST and size <= ints[_GHOST_LIMIT] else 0
    ints[_UNUSED] += 1 if new else 0
    bounded(ints, expert, chunk, new, ints[_GHOST_LIMIT])


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove, _admits)
