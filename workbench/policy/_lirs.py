"""LIRS: who is used again soon stays; recency between two uses decides, not since the last one.

Source: Jiang and Zhang, "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy", SIGMETRICS 2002: a
hundredth of the cache is for chunks of high recency (HIR), the rest for those of low (LIR). Ghosts are bounded: the
stack is at most twice the cache.

A chunk may be in the stack and in a queue at once. Its second node is that of the number ``chunks`` higher.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import (
    FIRST,
    MARK,
    NEWER,
    NOWHERE,
    SIZE,
    WIDTH,
    chunk_of,
    count_of,
    move,
    node_of,
    oldest,
    prepare,
    push,
    size_of,
    take,
    where,
)
from workbench.policy._lists import arena as _lists_arena

__all__ = ["arena", "functions"]

_STACK, _QUEUE, _GHOSTS = 0, 1, 2
_LIR_LIMIT, _LIR_BYTES, _STACK_LIMIT, _CHUNKS, _LEAVING = 2, 6, 10, 14, 18  # registers
_HIR, _LIR = 0, 1  # counts of nodes in the stack


def arena(chunks: int) -> tuple[int, int]:
    """Two nodes a chunk."""
    return _lists_arena(2 * chunks)


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    chunks = len(sizes)
    prepare(ints, sizes)
    for chunk in range(chunks):
        ints[node_of(chunks + chunk) + MARK] = NOWHERE
        ints[node_of(chunks + chunk) + SIZE] = sizes[chunk]
    ints[_LIR_LIMIT] = capacity - max(1, capacity // 100)
    ints[_STACK_LIMIT] = 2 * capacity
    ints[_CHUNKS] = chunks
    ints[_LEAVING] = -1


def _drop(ints: Any, chunk: int) -> None:
    """Take a chunk out of the stack, if it is there."""
    if where(ints, chunk) == _STACK:
        take(ints, chunk)


def _unqueue(ints: Any, chunk: int) -> None:
    """Take a chunk out of the queue, or from among the ghosts."""
    if where(ints, ints[_CHUNKS] + chunk) != NOWHERE:
        take(ints, ints[_CHUNKS] + chunk)


def _prune(ints: Any) -> None:
    """What is at the bottom of the stack is LIR."""
    bottom = oldest(ints, _STACK)
    while bottom >= 0 and count_of(ints, bottom) == _HIR:
        if where(ints, ints[_CHUNKS] + bottom) == _GHOSTS:
            _unqueue(ints, bottom)
        take(ints, bottom)
        bottom = oldest(ints, _STACK)


def _raise(ints: Any, chunk: int) -> None:
    """Make a chunk LIR, on top of the stack; those at the bottom for which there is no more room become HIR."""
    _drop(ints, chunk)
    push(ints, _STACK, chunk, _LIR)
    _prune(ints)
    ints[_LIR_BYTES] += ints[node_of(chunk) + SIZE]
    while ints[_LIR_BYTES] > ints[_LIR_LIMIT]:
        bottom = oldest(ints, _STACK)
        if bottom == chunk:
            break
        take(ints, bottom)
        ints[_LIR_BYTES] -= ints[node_of(bottom) + SIZE]
        push(ints, _QUEUE, ints[_CHUNKS] + bottom, 0)
        _prune(ints)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    stacked = where(ints, chunk) == _STACK
    if stacked and count_of(ints, chunk) == _LIR:
        move(ints, _STACK, chunk, _LIR)
        _prune(ints)
    elif stacked:
        _unqueue(ints, chunk)
        _raise(ints, chunk)
    else:
        push(ints, _STACK, chunk, _HIR)
        move(ints, _QUEUE, ints[_CHUNKS] + chunk, 0)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    known = where(ints, chunk) == _STACK
    _unqueue(ints, chunk)
    if known or ints[_LIR_BYTES] + ints[node_of(chunk) + SIZE] <= ints[_LIR_LIMIT]:
        _raise(ints, chunk)
    else:
        push(ints, _STACK, chunk, _HIR)
        push(ints, _QUEUE, ints[_CHUNKS] + chunk, 0)
    while size_of(ints, _STACK) > ints[_STACK_LIMIT] and size_of(ints, _GHOSTS) > 0:
        ghost = oldest(ints, _GHOSTS) - ints[_CHUNKS]
        _unqueue(ints, ghost)
        _drop(ints, ghost)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    goes = _first_queued(ints, pinned)
    if goes < 0:
        goes = _lowest(ints, pinned)
    ints[_LEAVING] = goes
    return goes


def _first_queued(ints: Any, pinned: Any) -> int:
    node = ints[WIDTH * _QUEUE + NEWER]
    while node >= FIRST:
        chunk = chunk_of(node) - ints[_CHUNKS]
        if pinned[chunk] == 0:
            return int(chunk)
        node = ints[node + NEWER]
    return -1


def _lowest(ints: Any, pinned: Any) -> int:
    node = ints[WIDTH * _STACK + NEWER]
    while node >= FIRST:
        chunk = chunk_of(node)
        if count_of(ints, chunk) == _LIR and pinned[chunk] == 0:
            return chunk
        node = ints[node + NEWER]
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    evicted, stacked = ints[_LEAVING] == chunk, where(ints, chunk) == _STACK
    ints[_LEAVING] = -1
    _unqueue(ints, chunk)
    if stacked and count_of(ints, chunk) == _LIR:
        ints[_LIR_BYTES] -= ints[node_of(chunk) + SIZE]
        take(ints, chunk)
        _prune(ints)
    elif stacked and evicted:
        push(ints, _GHOSTS, ints[_CHUNKS] + chunk, 0)
    elif stacked:
        take(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
