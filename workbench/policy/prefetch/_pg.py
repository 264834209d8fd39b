"""Probability graph: with each chunk, those that were often read soon after it.

Source: Griffioen and Appleton, "Reducing file system latency using a predictive approach", USENIX Summer 1994.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.plan import Ahead
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["pg"]

_PLACE, _WINDOW, _EDGES, _PERCENT, _RING = 0, 1, 2, 3, 4


def pg(window: int = 8, edges: int = 8, percent: int = 25) -> PrefetchPolicy:
    """Suggest chunks that came within `window` reads of the present one in `percent` of the cases or more.

    Each chunk keeps its `edges` most frequent ones; a new one takes the place of the rarest.
    """

    def bind(known: Known) -> Bound:
        ints = np.zeros(_RING + window + (1 + 2 * edges) * len(known.layout.size), np.int64)
        ints[_WINDOW], ints[_EDGES], ints[_PERCENT] = window, edges, percent
        ints[_RING : _RING + window] = -1
        return Bound(ahead=Ahead(_on_read, ints, np.zeros(1)))

    return PrefetchPolicy("pg", bind)


def _node(ints: Any, chunk: int) -> int:
    """Where a chunk's count begins, which its edges follow: a chunk plus one, and how often."""
    return int(_RING + ints[_WINDOW] + (1 + 2 * ints[_EDGES]) * chunk)


def _on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    window = ints[_WINDOW]
    for back in range(window):
        before = ints[_RING + back]
        if before >= 0 and before != chunk:
            _strengthen(ints, _node(ints, before), chunk)
    ints[_RING + ints[_PLACE]] = chunk
    ints[_PLACE] = (ints[_PLACE] + 1) % window
    node = _node(ints, chunk)
    ints[node] += 1
    count = 0
    for edge in range(ints[_EDGES]):
        at = node + 1 + 2 * edge
        if ints[at] > 0 and ints[node] > 1 and 100 * ints[at + 1] >= ints[_PERCENT] * ints[node] and count < len(out):
            out[count] = ints[at] - 1
            count += 1
    return count


def _strengthen(ints: Any, node: int, chunk: int) -> None:
    least = node + 1
    for edge in range(ints[_EDGES]):
        at = node + 1 + 2 * edge
        if ints[at] == chunk + 1:
            ints[at + 1] += 1
            return
        if ints[at + 1] < ints[least + 1]:
            least = at
    ints[least] = chunk + 1
    ints[least + 1] = 1
