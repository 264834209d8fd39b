"""Miss ratios over all sizes at once.

The LRU curve is exact (Mattson's stack distances, counted with a Fenwick tree over the times of last requests).
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
    step = max(int(np.gcd.reduce(sizes)) if len(sizes) else 1, 1)
    if total // step > points:
        step = -(-total // points)
    hits, hit_bytes = np.zeros(total // step + 2, np.int64), np.zeros(total // step + 2, np.int64)
    width = 2 * len(sizes) + 1
    tree, owner, last = np.zeros(width + 1, np.int64), np.full(width + 1, -1, np.int64), np.zeros(len(sizes), np.int64)
    state = np.zeros(2, np.int64)
    count = compile_function(_count)
    for objects, _ in trace.batches():
        count(objects, sizes, last, owner, tree, state, step, hits, hit_bytes)
    # Sizes at which nothing changes are left out.
    steps = np.flatnonzero(hits)
    steps = np.concatenate([[0], steps[steps > 0]])
    return Curve(
        steps * step,
        1.0 - np.cumsum(hits)[steps] / max(len(trace), 1),
        1.0 - np.cumsum(hit_bytes)[steps] / max(trace.bytes, 1),
    )


def _count(
    objects: Any, sizes: Any, last: Any, owner: Any, tree: Any, state: Any, step: int, hits: Any, hit_bytes: Any
) -> None:
    """Add a batch's hits to the histogram of the least size, in steps, at which each is one.

    `tree` holds, at the time of each object's last use, its size; `state` the time and the sum of all. When time has
    run out, those that were used are numbered afresh in order.
    """
    width = len(tree) - 1
    for request in range(len(objects)):
        chunk = objects[request]
        size = sizes[chunk]
        if state[0] == width:
            _renumber(last, owner, tree, sizes, state)
        before = last[chunk]
        if before > 0:
            # What was used since is what was not used before or then.
            distance = state[1] - _sum(tree, before) + size
            hits[(distance + step - 1) // step] += 1
            hit_bytes[(distance + step - 1) // step] += size
            _add(tree, before, -size)
            owner[before] = -1
        else:
            state[1] += size
        state[0] += 1
        _add(tree, state[0], size)
        owner[state[0]] = chunk
        last[chunk] = state[0]


def _sum(tree: Any, place: int) -> int:
    total = 0
    while place > 0:
        total += tree[place]
        place &= place - 1
    return total


def _add(tree: Any, place: int, size: int) -> None:
    while place < len(tree):
        tree[place] += size
        place += place & -place


def _renumber(last: Any, owner: Any, tree: Any, sizes: Any, state: Any) -> None:
    time = 0
    for old in range(1, state[0] + 1):
        chunk = owner[old]
        if chunk >= 0:
            time += 1
            owner[time] = chunk
            last[chunk] = time
    for place in range(1, len(tree)):
        tree[place] = sizes[owner[place]] if place <= time else 0
        if place > time:
            owner[place] = -1
    for place in range(1, len(tree)):
        parent = place + (place & -place)
        if parent < len(tree):
            tree[parent] += tree[place]
    state[0] = time


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
