"""What no cache can beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.policy import EvictionPolicy, _belady
from workbench.simulate._objects import NEVER, ObjectTrace
from workbench.simulate._run import simulate

__all__ = ["Bound", "lower_bound"]


_OPTIMUM = EvictionPolicy("optimum", _belady.arena, _belady.bypassing, offline=True)


@dataclass(frozen=True)
class Bound:
    """The fewest misses that there can be.

    Attributes
    ----------
    misses, miss_bytes
        Lower bounds, each on its own: one cache need not reach both.
    optimal
        Whether `misses` can be reached, which is known where all objects are equally large.
    """

    misses: int
    miss_bytes: int
    optimal: bool


def lower_bound(trace: ObjectTrace, cache_size: int) -> Bound:
    """Misses that any cache of a size has, even one that knows the trace.

    Where all objects are equally large, Belady's MIN that may refuse a newcomer is the optimum. Else a hit costs its
    object's bytes for as many requests as it was kept, of which there are no more than the cache's bytes for all
    requests: the cheapest hits that fit are at least as many as those of any cache (PFOO-L: Berger, Beckmann and
    Harchol-Balter, "Practical Bounds on Optimal Caching with Variable Object Sizes", SIGMETRICS 2018). Belady's order
    bounds nothing there.
    """
    if len(trace) and int(trace.sizes.min()) == int(trace.sizes.max()):
        best = simulate(trace, _OPTIMUM, cache_size)
        return Bound(best.misses, best.miss_bytes, optimal=True)
    nexts, objects = trace.nexts, trace.objects
    first = np.flatnonzero(nexts != NEVER)
    size = trace.sizes[objects[first]]
    fits = size <= cache_size
    kept, size = (nexts[first] - first)[fits], size[fits]
    budget = float(cache_size) * max(len(trace) - 1, 0)
    hits = _most(size * kept, np.ones(len(kept)), kept * size, budget)
    hit_bytes = _most(kept, size, kept * size, budget)
    return Bound(len(trace) - int(hits), trace.bytes - int(hit_bytes), optimal=False)


def _most(order: Any, worth: Any, cost: Any, budget: float) -> float:
    """How much worth can be had within a budget, a part of the last one included."""
    by = np.argsort(order, kind="stable")
    spent, had = np.cumsum(cost[by].astype(np.float64)), np.cumsum(worth[by].astype(np.float64))
    whole = int(np.searchsorted(spent, budget, side="right"))
    most = float(had[whole - 1]) if whole else 0.0
    if whole < len(by):
        left = budget - (float(spent[whole - 1]) if whole else 0.0)
        most += float(worth[by[whole]]) * left / float(cost[by[whole]])
    return most
