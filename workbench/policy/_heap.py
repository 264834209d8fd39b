"""Chunks by priority: a binary heap in the arenas, whose least goes first.

A hit only raises a chunk's priority, so it is noted with the chunk, and the heap learns of it when the chunk
comes to the top: a hit costs one write, whatever the heap's depth. At the same priority, who was used longer
ago goes first. Everything is numba's subset and runs on memoryviews as well.

In ints: registers, then two words a place in the heap (chunk, time), then four a chunk (time, count, size, place).
In floats: registers, then priorities by place, then priorities by chunk.
"""

from __future__ import annotations

from typing import Any

__all__ = ["COUNT", "SIZE", "arena", "chunk_at", "clear", "forget", "insert", "least", "priority_of", "rank"]

COUNT = 1
SIZE = 2
_WHERE = 3

_CHUNKS, _HELD, _CLOCK = 0, 1, 2
_REGISTERS = 8
_PLACE, _CHUNK = 2, 4  # words of each


def arena(chunks: int) -> tuple[int, int]:
    """Sizes of the int64 and the float64 arena for `chunks` chunks."""
    return _REGISTERS + (_PLACE + _CHUNK) * chunks, _REGISTERS + 2 * chunks


def clear(ints: Any, floats: Any, sizes: Any) -> None:
    """Make it empty; registers from 3 on, and all of floats, are the policy's own."""
    chunks = len(sizes)
    for word in range(_REGISTERS):
        ints[word] = 0
        floats[word] = 0.0
    ints[_CHUNKS] = chunks
    for chunk in range(chunks):
        ints[_REGISTERS + _PLACE * chunks + _CHUNK * chunk + SIZE] = sizes[chunk]


def chunk_at(ints: Any, chunk: int) -> int:
    """Where a chunk's words are: its count at COUNT after it, its size at SIZE."""
    return int(_REGISTERS + _PLACE * ints[_CHUNKS] + _CHUNK * chunk)


def rank(ints: Any, floats: Any, chunk: int, priority: float) -> None:
    """Note a priority, not lower than before, and that the chunk was used now."""
    ints[_CLOCK] += 1
    ints[chunk_at(ints, chunk)] = ints[_CLOCK]
    floats[_REGISTERS + ints[_CHUNKS] + chunk] = priority


def priority_of(ints: Any, floats: Any, chunk: int) -> float:
    """A chunk's priority as last noted."""
    return float(floats[_REGISTERS + ints[_CHUNKS] + chunk])


def insert(ints: Any, floats: Any, chunk: int, priority: float) -> None:
    """A chunk comes in."""
    rank(ints, floats, chunk, priority)
    place = ints[_HELD]
    ints[_HELD] = place + 1
    time = ints[_CLOCK]
    while place > 0:
        parent = (place - 1) >> 1
        # Among equals the newcomer is last.
        if floats[_REGISTERS + parent] <= priority:
            break
        _copy(ints, floats, parent, place)
        place = parent
    _put(ints, floats, place, chunk, time, priority)


def _put(ints: Any, floats: Any, place: int, chunk: int, time: int, priority: float) -> None:
    ints[_REGISTERS + _PLACE * place] = chunk
    ints[_REGISTERS + _PLACE * place + 1] = time
    floats[_REGISTERS + place] = priority
    ints[chunk_at(ints, chunk) + _WHERE] = place


def _copy(ints: Any, floats: Any, source: int, place: int) -> None:
    at = _REGISTERS + _PLACE * source
    _put(ints, floats, place, ints[at], ints[at + 1], floats[_REGISTERS + source])


def _sink(ints: Any, floats: Any, place: int, chunk: int) -> None:
    """Put a chunk, with the priority that it has by now, at a place or below it."""
    held = ints[_HELD]
    time, priority = ints[chunk_at(ints, chunk)], floats[_REGISTERS + ints[_CHUNKS] + chunk]
    while True:
        child = 2 * place + 1
        if child >= held:
            break
        if child + 1 < held and _before(ints, floats, child + 1, child):
            child += 1
        lower = floats[_REGISTERS + child]
        if lower > priority or (lower == priority and ints[_REGISTERS + _PLACE * child + 1] >= time):
            break
        _copy(ints, floats, child, place)
        place = child
    _put(ints, floats, place, chunk, time, priority)


def _before(ints: Any, floats: Any, one: int, other: int) -> bool:
    first, second = floats[_REGISTERS + one], floats[_REGISTERS + other]
    if first != second:
        return bool(first < second)
    return bool(ints[_REGISTERS + _PLACE * one + 1] < ints[_REGISTERS + _PLACE * other + 1])


def _top(ints: Any, floats: Any) -> int:
    """Who is least; -1 if there is nobody."""
    if ints[_HELD] == 0:
        return -1
    while True:
        chunk = ints[_REGISTERS]
        if ints[_REGISTERS + 1] == ints[chunk_at(ints, chunk)]:
            return int(chunk)
        _sink(ints, floats, 0, chunk)


def least(ints: Any, floats: Any, pinned: Any) -> int:
    """Who is least of those that are not pinned; -1 if there is nobody."""
    best = _top(ints, floats)
    if best < 0 or pinned[best] == 0:
        return best
    best = -1
    for place in range(ints[_HELD]):
        chunk = ints[_REGISTERS + _PLACE * place]
        if pinned[chunk] == 0 and (best < 0 or _less(ints, floats, chunk, best)):
            best = int(chunk)
    return best


def _less(ints: Any, floats: Any, one: int, other: int) -> bool:
    base = _REGISTERS + ints[_CHUNKS]
    if floats[base + one] != floats[base + other]:
        return bool(floats[base + one] < floats[base + other])
    return bool(ints[chunk_at(ints, one)] < ints[chunk_at(ints, other)])


def forget(ints: Any, floats: Any, chunk: int) -> float:
    """A chunk leaves. Returns the priority that it had."""
    place = ints[chunk_at(ints, chunk) + _WHERE]
    held = ints[_HELD] - 1
    ints[_HELD] = held
    if place < held:
        last = ints[_REGISTERS + _PLACE * held]
        if place == 0:
            _sink(ints, floats, 0, last)
        else:
            _mend(ints, floats, place, last)
    return float(floats[_REGISTERS + ints[_CHUNKS] + chunk])


def _mend(ints: Any, floats: Any, place: int, last: int) -> None:
    """Fill a place in the middle, which the last one may be too low or too high for."""
    time, priority = ints[chunk_at(ints, last)], floats[_REGISTERS + ints[_CHUNKS] + last]
    while place > 0:
        parent = (place - 1) >> 1
        upper = floats[_REGISTERS + parent]
        if upper < priority or (upper == priority and ints[_REGISTERS + _PLACE * parent + 1] <= time):
            break
        _copy(ints, floats, parent, place)
        place = parent
    _sink(ints, floats, place, last)
