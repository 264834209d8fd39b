"""Sequential read-ahead: whoever goes on where a read ended gets more each time, as a kernel reads files ahead.

Source: Wu et al., "On the design of a new Linux readahead framework", ACM OSR 42(5), 2008: windows that double.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.plan import Ahead
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["sequential"]

_LEAST, _MOST, _WINDOWS = 0, 1, 2


def sequential(least: int = 2, most: int = 64) -> PrefetchPolicy:
    """Suggest the chunks that follow, of `least` at first to `most`, once two reads are neighbours."""

    def bind(known: Known) -> Bound:
        ints = np.zeros(len(known.layout.size) + _WINDOWS, np.int64)
        ints[_LEAST], ints[_MOST] = least, most
        return Bound(ahead=Ahead(_on_read, ints, np.zeros(1)))

    return PrefetchPolicy("sequential", bind)


def _on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    """The window that a chunk was given by the one before it tells whether a stream got here."""
    chunks, window = len(ints) - _WINDOWS, ints[_WINDOWS + chunk]
    following = min(max(2 * window, ints[_LEAST]), ints[_MOST])
    if chunk + 1 < chunks:
        ints[_WINDOWS + chunk + 1] = following
    if window == 0:
        return 0
    count = min(following, chunks - 1 - chunk, len(out))
    for index in range(count):
        out[index] = chunk + 1 + index
    return int(count)
