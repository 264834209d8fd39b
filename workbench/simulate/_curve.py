"""Miss ratios over all sizes at once.

The LRU curve is exact (Mattson's stack distances, counted with a tree of sums over the times of last requests).
For other policies, SHARDS: a sample of objects in a cache that is smaller by as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from storage.errors import ConfigError
from workbench.policy import EvictionPolicy
from workbench.simulate._objects import ObjectTrace
from workbench.simulate._run import simulate

__all__ = ["Curve", "lru_curve", "shards_curve"]

_MIXERS = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)


@dataclass(frozen=True)
class Curve:
    """A miss-ratio curve.

    Attributes
    ----------
    size : (k,) int64
        Cache sizes, bytes, ascending; a ratio holds from its size up to the next.
    miss_ratio, byte_miss_ratio : (k,) float64
        Shares of requests, and of bytes asked for.
    """

    size: Any
    miss_ratio: Any
    byte_miss_ratio: Any

    def at(self, sizes: Any) -> Curve:
        """The curve at some sizes; below the first of its own it is that of an empty cache."""
        sizes = np.atleast_1d(np.asarray(sizes, np.int64))
        place = np.searchsorted(self.size, sizes, side="right") - 1
        empty = place < 0
        return Curve(
            sizes,
            np.where(empty, 1.0, self.miss_ratio[place]),
            np.where(empty, 1.0, self.byte_miss_ratio[place]),
        )

    def to_pandas(self) -> pd.DataFrame:
        """A row for each size."""
        return pd.DataFrame(
            {"cache_size": self.size, "miss_ratio": self.miss_ratio, "byte_miss_ratio": self.byte_miss_ratio}
        )

    def _repr_html_(self) -> str:
        return str(self.to_pandas().to_html())


def lru_curve(trace: ObjectTrace, points: int = 1 << 20) -> Curve:
    """The exact LRU curve in one pass, for objects and bytes.

    An LRU cache holds an object just if the bytes of all that was used since its last use, its own included, are no
    more than the cache. So the curve equals a run at each of its sizes that is no smaller than the largest object
    (a smaller cache does not admit that, which the curve knows nothing of).

    Parameters
    ----------
    trace
        Read in one pass; memory grows with objects and `points`, not with requests.
    points
        At most so many sizes, equally far apart: the greatest common divisor of the objects' sizes if that is enough.
    """
    from workbench._compile import compile_function

    sizes = trace.sizes
    total = int(sizes.sum())
    step = exact = max(int(np.gcd.reduce(sizes)) if len(sizes) else 1, 1)
    if total // step > points:
        step = -(-total // points)
    # Where steps are fine enough for all sizes, everything is counted in them, and half as wide.
    unit, word = (step, np.int32) if step == exact and total // step < _NARROW else (1, np.int64)
    width = _FAN
    while width < 2 * len(sizes):
        width *= _FAN
    tree, last = np.zeros(width * _FAN // (_FAN - 1) + _FAN, word), np.full(len(sizes), -1, np.int32)
    state, order = np.array([0, 0, width]), np.empty(width, np.int32)
    hits = np.zeros((total // step + 2, 2), np.int64)
    count = compile_function(_count)
    for objects, _ in trace.batches():
        count(objects, (sizes // unit).astype(word), last, tree, state, order, step // unit, hits)
    # Sizes at which nothing changes are left out.
    steps = np.flatnonzero(hits[:, 0])
    steps = np.concatenate([[0], steps[steps > 0]])
    found = np.cumsum(hits, axis=0)[steps]
    return Curve(steps * step, 1.0 - found[:, 0] / max(len(trace), 1), 1.0 - found[:, 1] * unit / max(trace.bytes, 1))


_FAN, _BITS = 4, 2
_NARROW = 1 << 31
_TIME, _SUM, _WIDTH = 0, 1, 2  # of state


def _count(objects: Any, sizes: Any, last: Any, tree: Any, state: Any, order: Any, step: int, hits: Any) -> None:
    """Add a batch's hits to the histogram of the least size, in steps, at which each is one.

    `tree` holds, at the time of each object's last use, its size, and after that the sums of each four, of each
    sixteen and so on, so that as many words are touched each time: a loop whose end is known in advance costs less
    than one half as long. When time has run out, those that were used are numbered afresh in order.
    """
    time, everything, width = state[_TIME], state[_SUM], state[_WIDTH]
    for request in range(len(objects)):
        chunk = objects[request]
        size = sizes[chunk]
        if time == width:
            time = _renumber(last, tree, sizes, order, width)
        before = last[chunk]
        if before >= 0:
            place = _take(tree, width, before, size) + size
            if step != 1:
                place = (place + step - 1) // step
            hits[place, 0] += 1
            hits[place, 1] += size
        else:
            everything += size
        _add(tree, width, time, size)
        last[chunk] = time
        time += 1
    state[_TIME], state[_SUM] = time, everything


def _take(tree: Any, width: int, time: int, size: int) -> int:
    """Take out what was used at a time. Returns the sum of all that was used later."""
    later, start, place = 0, 0, int(time)
    while width > 1:
        digit, four = place & 3, start + (place & ~3)
        # A shifted sign is a mask.
        later += tree[four + 1] & ((digit - 1) >> 8)
        later += tree[four + 2] & ((digit - 2) >> 8)
        later += tree[four + 3] & ((digit - 3) >> 8)
        tree[start + place] -= size
        start += width
        width >>= _BITS
        place >>= _BITS
    return later


def _add(tree: Any, width: int, time: int, size: int) -> None:
    start, place = 0, int(time)
    while width > 1:
        tree[start + place] += size
        start += width
        width >>= _BITS
        place >>= _BITS


def _renumber(last: Any, tree: Any, sizes: Any, order: Any, width: int) -> int:
    """Number the times of last uses from 0 on. Returns how many there are."""
    for place in range(width):
        order[place] = -1
    for chunk in range(len(last)):
        if last[chunk] >= 0:
            order[last[chunk]] = chunk
    time = 0
    for place in range(width):
        chunk = order[place]
        tree[place] = 0
        if chunk >= 0:
            last[chunk] = time
            tree[time] = sizes[chunk]
            time += 1
    start = 0
    while width > _FAN:
        for place in range(width >> _BITS):
            four = start + (place << _BITS)
            tree[start + width + place] = tree[four] + tree[four + 1] + tree[four + 2] + tree[four + 3]
        start += width
        width >>= _BITS
    return time


def shards_curve(
    trace: ObjectTrace, eviction: str | EvictionPolicy, cache_sizes: Sequence[int], rate: float = 0.1, seed: int = 0
) -> Curve:
    """A policy's curve from a sample of objects, each run in a cache that is smaller by as much.

    Objects are sampled by a hash, and the count of requests is set right as in SHARDS-adj. An estimate: for 10,000
    sampled objects and more it is off by less than a hundredth, for few by anything.

    Source: Waldspurger et al., "Efficient MRC Construction with SHARDS", FAST 2015.

    Raises
    ------
    ConfigError
        If the rate is not above 0 and at most 1.
    """
    if not 0 < rate <= 1:
        raise ConfigError(f"a sample of {rate} is none: above 0 and up to 1 are", field="rate")
    sampled = _hash(np.arange(len(trace.sizes), dtype=np.uint64), seed) < np.uint64(min(int(rate * 2**64), 2**64 - 1))

    def picked() -> Any:
        for objects, _ in trace.batches():
            chosen = objects[sampled[objects]]
            yield chosen, trace.sizes[chosen]

    sample = ObjectTrace(picked)
    outcomes = [simulate(sample, eviction, int(size * rate)) for size in cache_sizes]
    expected, expected_bytes = len(trace) * rate, trace.bytes * rate
    return Curve(
        np.asarray(cache_sizes, np.int64),
        np.clip([outcome.misses / expected for outcome in outcomes], 0.0, 1.0),
        np.clip([outcome.miss_bytes / expected_bytes for outcome in outcomes], 0.0, 1.0),
    )


def _hash(numbers: Any, seed: int) -> Any:
    """(n,) uint64, evenly spread (the finalizer of MurmurHash3)."""
    mixed = numbers + np.uint64(seed * 0x9E3779B97F4A7C15 + 1 & (1 << 64) - 1)
    for mixer in _MIXERS:
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(mixer)
    return mixed ^ (mixed >> np.uint64(33))
