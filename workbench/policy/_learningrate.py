"""Two experts' weights, and a learning rate that follows the hit ratio: what CACHEUS learns. Numba's subset.

It keeps that in the registers of a heap that are a policy's own, from 3 on in ints and all in floats.

Source: Rodriguez et al., "Learning Cache Replacement with CACHEUS", FAST 2021, section 4.4, and its authors' code.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["WEIGHTS", "begin", "blame", "drawn", "tick"]

_CLOCK, _PERIOD, _HITS, _STALE, _STATE = 3, 4, 5, 6, 7
WEIGHTS, _RATE, _BEFORE, _RATIO, _FIRST = 1, 3, 4, 5, 6
_LEAST, _MOST_SURE, _PATIENCE = 0.001, 0.99, 10
_MULTIPLIER, _INCREMENT, _MASK = 6364136223846793005, 1442695040888963407, (1 << 63) - 1


def begin(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    """Neither expert is better. A period is as many requests as the cache holds chunks of mean size."""
    everything = 0
    for chunk in range(len(sizes)):
        everything += sizes[chunk]
    room = len(sizes) * min(capacity, everything) // max(everything, 1) if capacity >= 0 else len(sizes)
    ints[_PERIOD] = max(room, 1)
    ints[_STATE] = 88172645463325252
    floats[WEIGHTS] = floats[WEIGHTS + 1] = 0.5
    floats[_RATE] = floats[_FIRST] = min(max(math.sqrt(2.0 * math.log(2.0) / ints[_PERIOD]), _LEAST), 1.0)


def drawn(ints: Any, share: float) -> bool:
    """True as often as the share says."""
    ints[_STATE] = (ints[_STATE] * _MULTIPLIER + _INCREMENT) & _MASK
    return bool((ints[_STATE] >> 31) < share * 4294967296.0)


def blame(floats: Any, expert: int) -> None:
    """An expert, 0 or 1, was wrong."""
    floats[WEIGHTS + expert] *= math.exp(-floats[_RATE])
    share = floats[WEIGHTS] / (floats[WEIGHTS] + floats[WEIGHTS + 1])
    floats[WEIGHTS] = min(max(share, 1.0 - _MOST_SURE), _MOST_SURE)
    floats[WEIGHTS + 1] = 1.0 - floats[WEIGHTS]


def tick(ints: Any, floats: Any, hits: int) -> int:
    """A request, of which `hits` are hits; a negative one is none. Returns the time."""
    if hits >= 0:
        ints[_CLOCK] += 1
        ints[_HITS] += hits
        if ints[_CLOCK] % ints[_PERIOD] == 0:
            _learn(ints, floats)
            ints[_HITS] = 0
    return int(ints[_CLOCK])


def _learn(ints: Any, floats: Any) -> None:
    """On in the direction that paid, back from one that did not; after a while of nothing, afresh."""
    rate, ratio = floats[_RATE], ints[_HITS] / ints[_PERIOD]
    moved, better = rate - floats[_BEFORE], ratio - floats[_RATIO]
    floats[_BEFORE], floats[_RATIO] = rate, ratio
    if moved * better > 0.0:
        rate = min(rate + abs(rate * moved), 1.0)
        ints[_STALE] = 0
    elif moved * better < 0.0:
        rate = max(rate - abs(rate * moved), _LEAST)
        ints[_STALE] = 0
    elif better <= 0.0:
        ints[_STALE] += 1
        if ints[_STALE] >= _PATIENCE:
            rate, ints[_STALE] = floats[_FIRST], 0
        elif better < 0.0:
            rate = min(max(rate * (1.25 if drawn(ints, 0.5) else 0.75), _LEAST), 1.0)
    floats[_RATE] = rate
