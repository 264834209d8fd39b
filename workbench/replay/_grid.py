"""Many replays, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from storage.plan import Layout
from workbench.policy import EvictionPolicy
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._workload import ImageLike, Workload

__all__ = ["grid"]

_AMPLIFY = (0, 128 << 10, 1 << 20, 4 << 20)
_PREFETCH = ("none", "first program", "whole blob")


def grid(
    workload: Workload,
    image: ImageLike | Layout | None = None,
    settings: Settings | None = None,
    *,
    eviction: Sequence[str | EvictionPolicy] = ("none", "fifo", "lru", "sieve"),
    cache: Sequence[float] = (0.1, 0.25, 0.5, 1.0),
    amplify: Sequence[int | str] = _AMPLIFY,
    prefetch: Sequence[str] | Mapping[str, Sequence[int] | None] = _PREFETCH,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Replay every combination, the soonest to the last read first.

    Parameters
    ----------
    settings
        What all combinations share.
    eviction
        Policies, by name or as such.
    cache
        Capacities as shares of the bytes that the workload touches. Without eviction there is no bound, so that
        is replayed once, and listed with a share of 1.
    amplify
        Bytes, or names of policies.
    prefetch
        Names, or chunk rows by name.
    progress
        Called with how many are done, and how many there are.

    Returns
    -------
    pandas.DataFrame
        eviction, cache_bytes (-1 for no bound), cache, amplify_io, prefetch, time_to_last_read_ms, p99_ms, MB,
        requests, hit_ratio, wasted_prefetch_MB.
    """
    settings = settings or Settings()
    lists = dict(prefetch) if isinstance(prefetch, Mapping) else {name: name for name in prefetch}
    cells = [(e, c, a, p) for e, a, p in product(eviction, amplify, lists) for c in _shares(e, cache)]
    rows = []
    for done, (e, c, a, p) in enumerate(cells):
        size = None if c is None else int(np.ceil(workload.touched_bytes * c))
        this = replace(settings, eviction=e, capacity=size, amplify_io=a, prefetch=lists[p])
        rows.append(_row(this, c, p, replay(workload, image, this).totals))
        if progress is not None:
            progress(done + 1, len(cells))
    frame = pd.DataFrame(rows).sort_values("time_to_last_read_ms", kind="stable")
    return frame.reset_index(drop=True)


def _shares(eviction: str | EvictionPolicy, cache: Sequence[float]) -> Iterator[float | None]:
    name = eviction if isinstance(eviction, str) else eviction.name
    yield from ([None] if name.lower() == "none" else cache)


def _row(settings: Settings, share: float | None, prefetch: str, totals: dict[str, Any]) -> dict[str, Any]:
    return {
        "eviction": settings.policy.name,
        "cache_bytes": -1 if settings.capacity is None else settings.capacity,
        "cache": 1.0 if share is None else share,
        "amplify_io": settings.amplify_io,
        "prefetch": prefetch,
        "time_to_last_read_ms": totals["time_to_last_read_ns"] / 1e6,
        "p99_ms": totals["p99_ns"] / 1e6,
        "MB": totals["bytes_received"] / 1e6,
        "requests": totals["requests"],
        "hit_ratio": totals["hit_ratio"],
        "wasted_prefetch_MB": totals["wasted_prefetch_bytes"] / 1e6,
    }
