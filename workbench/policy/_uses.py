"""How often each chunk was used of late: counts to 15, all halved after ten uses for each chunk in the cache.

Chunks are numbered, so each has a count of its own: no sketch, and no doorkeeper, both of which save memory. Halving
is put off until a count is looked at. Numba's subset.

Source: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FIRST", "begin", "count", "use"]

_USES, _SAMPLE, _HALVED = 0, 1, 2
FIRST = 3  # words before a word for each chunk
_BITS, _MOST = 4, 15  # of a count; above it, how often all had been halved when it was written
_PER_CHUNK = 10


def begin(words: Any, sizes: Any, capacity: int) -> None:
    """Nothing was used; the cache has as many chunks of mean size as it has room for."""
    everything = 0
    for chunk in range(len(sizes)):
        everything += sizes[chunk]
        words[FIRST + chunk] = 0
    words[_USES] = words[_HALVED] = 0
    room = len(sizes) * min(capacity, everything) // max(everything, 1) if capacity >= 0 else len(sizes)
    words[_SAMPLE] = _PER_CHUNK * max(room, 1)


def count(words: Any, chunk: int) -> int:
    """A chunk's uses."""
    word = words[FIRST + chunk]
    return int((word & _MOST) >> min(words[_HALVED] - (word >> _BITS), _BITS))


def use(words: Any, chunk: int) -> None:
    """A chunk was used."""
    words[FIRST + chunk] = min(count(words, chunk) + 1, _MOST) | (words[_HALVED] << _BITS)
    words[_USES] += 1
    if words[_USES] >= words[_SAMPLE]:
        words[_USES] //= 2
        words[_HALVED] += 1
