"""Belady's MIN: who is used again last goes first. It knows the trace: no live store can run it.

Source: Belady, "A Study of Replacement Algorithms for a Virtual-Storage Computer", IBM Systems Journal 1966. It is
optimal if all chunks are equally large, and bounds nothing if they are not.

In ints: the count of chunks held, then the heap of chunks by next use, then each chunk's place in it, then each
chunk's next use. The last word says when the chunk in hand is used next.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy

__all__ = ["OFFLINE", "arena", "bypassing", "functions"]

OFFLINE = True
_HELD, _CHUNKS, _FIRST = 0, 1, 2


def arena(chunks: int) -> tuple[int, int]:
    """Heap, places, next uses, and the word for the next."""
    return _FIRST + 3 * chunks + 1, 1


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    ints[_HELD] = 0
    ints[_CHUNKS] = len(sizes)


def _next(ints: Any, chunk: int) -> int:
    return int(ints[_FIRST + 2 * ints[_CHUNKS] + chunk])


def _put(ints: Any, place: int, chunk: int) -> None:
    ints[_FIRST + place] = chunk
    ints[_FIRST + ints[_CHUNKS] + chunk] = place


def _rise(ints: Any, place: int, chunk: int) -> None:
    while place > 0 and _next(ints, ints[_FIRST + (place - 1) // 2]) < _next(ints, chunk):
        _put(ints, place, ints[_FIRST + (place - 1) // 2])
        place = (place - 1) // 2
    _put(ints, place, chunk)


def _sink(ints: Any, place: int, chunk: int) -> None:
    held = ints[_HELD]
    child = 2 * place + 1
    while child < held:
        if child + 1 < held and _next(ints, ints[_FIRST + child]) < _next(ints, ints[_FIRST + child + 1]):
            child += 1
        if _next(ints, chunk) >= _next(ints, ints[_FIRST + child]):
            break
        _put(ints, place, ints[_FIRST + child])
        place = child
        child = 2 * place + 1
    _put(ints, place, chunk)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    # The next use of who is used now is later than it was: up.
    ints[_FIRST + 2 * ints[_CHUNKS] + chunk] = ints[len(ints) - 1]
    _rise(ints, ints[_FIRST + ints[_CHUNKS] + chunk], chunk)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_FIRST + 2 * ints[_CHUNKS] + chunk] = ints[len(ints) - 1]
    ints[_HELD] += 1
    _rise(ints, ints[_HELD] - 1, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    best = -1
    for place in range(ints[_HELD]):
        held = ints[_FIRST + place]
        if pinned[held] == 0:
            if place == 0:
                return int(held)
            if best < 0 or _next(ints, best) < _next(ints, held):
                best = int(held)
    return best


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    place = ints[_FIRST + ints[_CHUNKS] + chunk]
    ints[_HELD] -= 1
    last = ints[_FIRST + ints[_HELD]]
    if last != chunk:
        _sink(ints, place, last)
        _rise(ints, ints[_FIRST + ints[_CHUNKS] + last], last)


def _victim_or_newcomer(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    best = _victim(ints, floats, pinned, chunk)
    return -1 if chunk >= 0 and best >= 0 and _next(ints, best) <= ints[len(ints) - 1] else best


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
bypassing = functions._replace(victim=_victim_or_newcomer)
"""The same, but a newcomer that is used again last is not admitted: the optimum of all caches that may refuse."""
