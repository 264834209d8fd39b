"""Markov: with each chunk, those that came after it before, the latest first.

Source: Joseph and Grunwald, "Prefetching using Markov predictors", ISCA 1997.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.plan import Ahead
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["markov"]

_BEFORE, _WAYS, _TABLE = 0, 1, 2


def markov(ways: int = 4) -> PrefetchPolicy:
    """Suggest up to `ways` chunks that followed the one that is read, as learnt while reading."""

    def bind(known: Known) -> Bound:
        ints = np.full(_TABLE + ways * len(known.layout.size), -1, np.int64)
        ints[_WAYS] = ways
        return Bound(ahead=Ahead(_on_read, ints, np.zeros(1)))

    return PrefetchPolicy("markov", bind)


def _on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    before, ways = ints[_BEFORE], ints[_WAYS]
    if before >= 0 and before != chunk:
        _follow(ints, _TABLE + before * ways, ways, chunk)
    ints[_BEFORE] = chunk
    count = 0
    for way in range(ways):
        following = ints[_TABLE + chunk * ways + way]
        if following >= 0 and count < len(out):
            out[count] = following
            count += 1
    return count


def _follow(ints: Any, row: int, ways: int, chunk: int) -> None:
    """Put a successor at the front; the one that came longest ago falls out."""
    way = 0
    while way < ways - 1 and ints[row + way] != chunk:
        way += 1
    while way > 0:
        ints[row + way] = ints[row + way - 1]
        way -= 1
    ints[row] = chunk
