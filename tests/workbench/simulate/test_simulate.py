"""Untimed simulation: counts, batches, curves and bounds."""

from __future__ import annotations

from collections import OrderedDict
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ConfigError
from tests.workbench.simulate._traces import traces
from workbench import policy
from workbench.simulate import ObjectTrace, lower_bound, lru_curve, shards_curve, simulate

REQUESTS = st.lists(st.integers(0, 9), min_size=1, max_size=60)
SIZES = st.lists(st.integers(1, 6), min_size=10, max_size=10)


def made(requests: list[int], sizes: list[int]) -> ObjectTrace:
    """A trace of objects below ten."""
    return ObjectTrace.from_arrays(requests, np.asarray(sizes)[requests])


def test_counts() -> None:
    """Requests, misses and bytes of a trace small enough to count by hand."""
    outcome = simulate(ObjectTrace.from_arrays([7, 9, 7, 8, 7, 9], [100, 50, 100, 60, 100, 50]), "lru", 200)
    assert (outcome.requests, outcome.misses, outcome.bytes, outcome.miss_bytes) == (6, 4, 460, 260)
    assert (outcome.evictions, outcome.refused, outcome.miss_ratio) == (2, 0, 4 / 6)


def test_too_large_is_refused() -> None:
    """What is larger than the cache is missed and pushes nothing out."""
    outcome = simulate(ObjectTrace.from_arrays([1, 2, 1], [10, 99, 10]), "lru", 50)
    assert (outcome.misses, outcome.refused, outcome.evictions) == (2, 1, 0)


def test_ids_of_any_kind() -> None:
    """Ids are numbered in the order of their first request, however large, and a thousandfold of what fits at first."""
    ids = np.random.default_rng(0).integers(0, 2**64, 50_000, dtype=np.uint64)
    trace = ObjectTrace.from_arrays(np.concatenate([ids, ids[::-1], [np.uint64(0)]]), 3)
    unique = len(np.unique(ids))
    assert len(trace.sizes) == unique + 1
    np.testing.assert_array_equal(trace.objects[:50_000][:100], np.arange(100))
    np.testing.assert_array_equal(trace.objects[:50_000], trace.objects[50_000:-1][::-1])


@pytest.mark.parametrize("name", ["lru", "s3-fifo", "belady"])
def test_streamed_as_held(name: str) -> None:
    """A trace that is read again for each pass, in batches, has the outcome of one that is held."""
    held = traces()["zipf"]
    ids, sizes = held.objects, held.sizes[held.objects]
    parts = [slice(at, at + 999) for at in range(0, len(ids), 999)]
    streamed = ObjectTrace(lambda: [(ids[part], sizes[part]) for part in parts], held=False)
    assert simulate(streamed, name, 50_000) == simulate(held, name, 50_000)


@given(REQUESTS, SIZES)
@settings(max_examples=60, deadline=None)
def test_curve_as_runs(requests: list[int], sizes: list[int]) -> None:
    """The LRU curve is a run at every size from the largest object on, for objects and bytes."""
    trace = made(requests, sizes)
    curve = lru_curve(trace)
    runs = [simulate(trace, "lru", size) for size in range(max(sizes), 40)]
    at = curve.at([run.cache_size for run in runs])
    assert np.rint(at.miss_ratio * len(trace)).tolist() == [run.misses for run in runs]
    assert np.rint(at.byte_miss_ratio * trace.bytes).tolist() == [run.miss_bytes for run in runs]


@pytest.mark.parametrize("points", [50, 1 << 22])
@pytest.mark.parametrize("name", traces())
def test_long_curve(name: str, points: int) -> None:
    """When times have been numbered afresh often, a curve is exact at all points that it has, be they few or all."""
    trace = traces()[name]
    curve = lru_curve(trace, points)
    assert len(curve.size) <= points + 1
    for at in np.linspace(len(curve.size) // 8, len(curve.size) - 1, 4).astype(int):
        run = simulate(trace, "lru", int(curve.size[at]))
        assert round(curve.miss_ratio[at] * len(trace)) == run.misses
        assert round(curve.byte_miss_ratio[at] * trace.bytes) == run.miss_bytes


def test_shards() -> None:
    """All objects as a sample give the policy's curve itself, and a part of them one that is near."""
    rng = np.random.default_rng(1)
    ids = np.minimum(rng.zipf(1.1, 60_000), 20_000)
    trace = ObjectTrace.from_arrays(ids, 10)
    sizes = [2_000, 20_000, 60_000]
    exact = [simulate(trace, "s3-fifo", size).miss_ratio for size in sizes]
    np.testing.assert_allclose(shards_curve(trace, "s3-fifo", sizes, 1.0).miss_ratio, exact)
    assert np.abs(shards_curve(trace, "s3-fifo", sizes, 0.3).miss_ratio - exact).mean() < 0.03
    with pytest.raises(ConfigError, match="sample"):
        shards_curve(trace, "lru", sizes, 0.0)


def fewest(trace: ObjectTrace, size: int) -> tuple[int, int]:
    """The fewest misses and bytes missed of any cache that keeps what it likes, by trying all it might."""
    best: dict[frozenset[int], tuple[int, int]] = {frozenset(): (0, 0)}
    for chunk in trace.objects.tolist():
        after: dict[frozenset[int], tuple[int, int]] = {}
        for held, (misses, missed) in best.items():
            cost = (misses, missed) if chunk in held else (misses + 1, missed + int(trace.sizes[chunk]))
            for kept in _subsets(held | {chunk}, trace.sizes, size):
                old = after.get(kept, cost)
                after[kept] = min(old[0], cost[0]), min(old[1], cost[1])
        best = after
    return min(cost[0] for cost in best.values()), min(cost[1] for cost in best.values())


def _subsets(held: frozenset[int], sizes: Any, size: int) -> list[frozenset[int]]:
    every = [frozenset(kept) for count in range(len(held) + 1) for kept in combinations(sorted(held), count)]
    return [kept for kept in every if sum(sizes[chunk] for chunk in kept) <= size]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(st.integers(1, 5), min_size=10, max_size=10))
@settings(max_examples=25, deadline=None)
def test_lower_bound(requests: list[int], sizes: list[int]) -> None:
    """No cache at all misses less than the bound, and for equal sizes one misses as little."""
    trace, pages = made(requests, sizes), made(requests, [2] * 10)
    for size in (3, 6, 9):
        bound, (misses, missed) = lower_bound(trace, size), fewest(trace, size)
        assert bound.misses <= misses and bound.miss_bytes <= missed
        assert lower_bound(pages, size).misses == fewest(pages, size)[0]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_belady_says_what_it_bounds(requests: list[int]) -> None:
    """Of pages, nothing that admits all misses less, and it says so; of objects that differ it says that it is none."""
    pages = made(requests, [2] * 10)
    best = simulate(pages, "belady", 6)
    assert best.bound.startswith("the fewest") and best.to_dict()["bound"] == best.bound
    assert best.misses <= min(simulate(pages, name, 6).misses for name in ("lru", "fifo", "mru", "lirs", "arc"))
    assert simulate(made([0, 1], [1, 2] + [1] * 8), "belady", 6).bound.startswith("none: sizes differ")
    assert "bound" not in simulate(pages, "lru", 6).to_dict()


def test_lfuda_as_written() -> None:
    """LFUDA's misses are those of a cache that goes by Arlitt's words."""
    trace = traces()["scan + zipf"]
    held: OrderedDict[int, float] = OrderedDict()
    count, age, misses, capacity = dict[int, int](), 0.0, 0, 150_000
    for chunk in trace.objects.tolist():
        if chunk not in held:
            misses += 1
            while sum(trace.sizes[other] for other in held) + trace.sizes[chunk] > capacity:
                gone = min(held, key=held.__getitem__)
                age = held.pop(gone)
            count[chunk] = 0
        count[chunk] += 1
        held[chunk] = age + count[chunk]
        held.move_to_end(chunk)
    assert simulate(trace, "lfuda", capacity).misses == misses


@pytest.mark.parametrize("name", policy.names())
def test_no_worse_than_knowing(name: str) -> None:
    """No policy misses less than the bound, nor more than there are requests."""
    trace = traces()["loops"]
    size = int(trace.sizes.sum()) // 3
    outcome = simulate(trace, name, size)
    assert lower_bound(trace, size).misses <= outcome.misses <= len(trace)
    assert outcome == simulate(trace, name, size)
