"""TinyLFU: a newcomer is admitted if it was used more often of late than the first that would go for it.

Source: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017: uses are
counted to 15, those of misses too, and halved after ten times as many uses as the cache has chunks. Chunks are
numbered, so each has a counter of its own: no sketch, and no doorkeeper, both of which save memory.
"""

from __future__ import annotations

from typing import Any

from workbench.policy.admission._gate import Gate

__all__ = ["arena", "gate"]

_USES, _SAMPLE, _HALVED, _FIRST = 0, 1, 2, 3
_BITS, _MOST = 4, 15  # of a count; above it, how often all had been halved when it was written
_PER_CHUNK = 10


def arena(chunks: int) -> tuple[int, int]:
    """Registers, and a count for each chunk."""
    return _FIRST + chunks, 0


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    everything = 0
    for chunk in range(len(sizes)):
        everything += sizes[chunk]
        ints[_FIRST + chunk] = 0
    ints[_USES] = ints[_HALVED] = 0
    # How many chunks of mean size there is room for.
    room = len(sizes) * min(capacity, everything) // max(everything, 1) if capacity >= 0 else len(sizes)
    ints[_SAMPLE] = _PER_CHUNK * max(room, 1)


def _count(ints: Any, chunk: int) -> int:
    """Uses as they are after halving, which is put off until they are looked at."""
    word = ints[_FIRST + chunk]
    return int((word & _MOST) >> min(ints[_HALVED] - (word >> _BITS), _BITS))


def _on_use(ints: Any, floats: Any, chunk: int) -> None:
    ints[_FIRST + chunk] = min(_count(ints, chunk) + 1, _MOST) | (ints[_HALVED] << _BITS)
    ints[_USES] += 1
    if ints[_USES] >= ints[_SAMPLE]:
        ints[_USES] //= 2
        ints[_HALVED] += 1


def _admits(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return 1 if victim < 0 or _count(ints, chunk) > _count(ints, victim) else 0


gate = Gate(_init, _on_use, _admits)
