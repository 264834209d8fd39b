"""LeCaR: LRU or LFU, by weights that a ghost lowers when who evicted it was wrong.

Source: Vietri et al., "Driving Cache Replacement with ML-based LeCaR", HotStorage 2018: learning rate 0.45, discount
0.005 ** (1 / N) for N chunks in the cache. The draws are those of one seed.
"""

from __future__ import annotations

import math
from typing import Any

from storage.plan import Policy
from workbench.policy._heap import COUNT, chunk_at, clear, forget, insert, least, rank
from workbench.policy._heap import arena as _heap_arena
from workbench.policy._lists import arena as _lists_arena
from workbench.policy._lists import bounded, move, node_of, oldest_free, prepare, push, recall, take, where

__all__ = ["arena", "functions"]

_LRU, _LRU_GHOST, _LFU_GHOST = 0, 1, 2
_GHOST_LIMIT, _CLOCK, _LEAVING, _EXPERT, _STATE, _HEAP, _CHUNKS = 2, 6, 10, 14, 18, 22, 26  # registers
_HELD = 1  # of the heap
_LRU_WEIGHT, _LFU_WEIGHT = 1, 2  # in floats
_LEARNING_RATE, _LOG_DISCOUNT = 0.45, math.log(0.005)
_REGISTERS = 8
_SEED, _MULTIPLIER, _PRIME = 88172645, 48271, (1 << 31) - 1  # Park and Miller's generator


def arena(chunks: int) -> tuple[int, int]:
    """Lists, then a heap; and after the heap's floats when each chunk left."""
    ints, floats = _heap_arena(chunks)
    return _lists_arena(chunks)[0] + ints, floats + chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_HEAP] = node_of(len(sizes))
    ints[_CHUNKS] = len(sizes)
    clear(ints[ints[_HEAP] :], floats, sizes)
    floats[_LRU_WEIGHT] = floats[_LFU_WEIGHT] = 0.5
    ints[_GHOST_LIMIT] = capacity // 2
    ints[_STATE] = _SEED
    ints[_LEAVING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    heap = ints[ints[_HEAP] :]
    ints[_CLOCK] += 1
    move(ints, _LRU, chunk, 0)
    at = chunk_at(heap, chunk)
    heap[at + COUNT] += 1
    rank(heap, floats, chunk, float(heap[at + COUNT]))
    ints[_LEAVING] = -1


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    heap = ints[ints[_HEAP] :]
    _come_back(ints, floats, heap, chunk)
    ints[_CLOCK] += 1
    push(ints, _LRU, chunk, 0)
    heap[chunk_at(heap, chunk) + COUNT] = 1
    insert(heap, floats, chunk, 1.0)
    ints[_LEAVING] = -1


def _come_back(ints: Any, floats: Any, heap: Any, chunk: int) -> None:
    """A miss of a ghost lowers the weight of who evicted it, the more the shorter ago that was."""
    which = where(ints, chunk)
    if which in (_LRU_GHOST, _LFU_GHOST):
        left = floats[_REGISTERS + 2 * ints[_CHUNKS] + chunk]
        regret = math.exp(_LOG_DISCOUNT * (ints[_CLOCK] - left) / max(heap[_HELD], 1))
        blamed = _LRU_WEIGHT if which == _LRU_GHOST else _LFU_WEIGHT
        floats[blamed] *= math.exp(-_LEARNING_RATE * regret)
        total = floats[_LRU_WEIGHT] + floats[_LFU_WEIGHT]
        floats[_LRU_WEIGHT] /= total
        floats[_LFU_WEIGHT] /= total
        recall(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    heap = ints[ints[_HEAP] :]
    if chunk >= 0:
        _come_back(ints, floats, heap, chunk)
    goes = ints[_LEAVING]
    if goes >= 0 and pinned[goes] == 0:
        return int(goes)
    oldest = rarest = oldest_free(ints, _LRU, pinned)
    # Who is the oldest and was used but once is the rarest, too.
    if oldest >= 0 and heap[chunk_at(heap, oldest) + COUNT] > 1:
        rarest = least(heap, floats, pinned)
    ints[_STATE] = ints[_STATE] * _MULTIPLIER % _PRIME
    by_lru = ints[_STATE] < floats[_LRU_WEIGHT] * _PRIME
    ints[_LEAVING] = oldest if by_lru else rarest
    # Whom both would evict, nobody is to blame for.
    ints[_EXPERT] = 0
    if oldest != rarest:
        ints[_EXPERT] = _LRU_GHOST if by_lru else _LFU_GHOST
    return int(ints[_LEAVING])


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    heap, expert, evicted = ints[ints[_HEAP] :], ints[_EXPERT], ints[_LEAVING] == chunk
    ints[_LEAVING] = -1
    take(ints, chunk)
    forget(heap, floats, chunk)
    if evicted and expert != 0:
        floats[_REGISTERS + 2 * ints[_CHUNKS] + chunk] = ints[_CLOCK]
        bounded(ints, expert, chunk, 0, ints[_GHOST_LIMIT])


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
