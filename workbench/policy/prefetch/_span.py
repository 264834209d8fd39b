"""Spans of equal length: what is read brings its whole span, and the rest follows span by span.

Source: SOCI (github awslabs/soci-snapshotter): a layer is cut into spans of 4 MiB, fetched as a whole, and by
a background fetcher in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.plan import Ahead
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["span"]


def span(size: int = 4 << 20, background: bool = True) -> PrefetchPolicy:
    """Suggest what lies in the same `size` bytes of the uncompressed blob; behind that, if `background`, everything."""

    def bind(known: Known) -> Bound:
        layout = known.layout
        key = layout.blob * (1 << 40) + layout.offset // size
        behind = np.arange(len(key)) if background else np.zeros(0, np.int64)
        return Bound(behind, Ahead(_on_read, key, np.zeros(1)))

    return PrefetchPolicy("span", bind)


def _on_read(key: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    if ready != 0:
        return 0
    first = chunk
    while first > 0 and key[first - 1] == key[chunk]:
        first -= 1
    count = 0
    while first < len(key) and key[first] == key[chunk]:
        if first != chunk:
            out[count] = first
            count += 1
        first += 1
    return count
