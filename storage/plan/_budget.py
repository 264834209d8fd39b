"""How fast prefetch may ask: a token bucket that users draw on, too, without ever waiting for it.

Source: nydus ``storage/src/cache/worker.rs``, over the crate ``leaky_bucket``.
"""

from __future__ import annotations

import numpy as np

from storage.plan._state import Array

__all__ = ["MIN_BANDWIDTH", "new_budget", "pay", "spend"]

MIN_BANDWIDTH = 16 << 20
"""Bytes a second; what is lower is raised to it, since a chunk can be as large as that."""

# Entries of a budget.
RATE = 0  # bytes a second; also what the bucket holds
LEVEL = 1  # bytes in it
SINCE = 2  # nanoseconds: when that was so; in the future if somebody waits
SPENT = 3  # bytes that users read since prefetch last paid

_SECOND = 1_000_000_000


def new_budget(bandwidth: int, now_ns: int) -> Array:
    """A full bucket of so many bytes, filled at so many a second, as (4,) int64."""
    rate = max(bandwidth, MIN_BANDWIDTH)
    return np.array([rate, rate, now_ns, 0], np.int64)


def spend(budget: Array, size: int) -> None:
    """A user reads; the next prefetch request pays for it."""
    budget[SPENT] += size


def pay(budget: Array, size: int, now_ns: int) -> int:
    """When a prefetch request of `size` bytes may begin, in nanoseconds: now, or later.

    It pays for itself and for what users read, but never for more than the bucket holds twice.
    """
    rate = budget[RATE]
    due = min(size + budget[SPENT], 2 * rate)
    budget[SPENT] = 0
    level = min(rate, budget[LEVEL] + (now_ns - budget[SINCE]) * rate // _SECOND)
    wait = -((level - due) * _SECOND // rate) if due > level else 0
    budget[LEVEL] = max(level - due, 0)
    budget[SINCE] = now_ns + wait
    return int(now_ns + wait)
