"""The loop as it is compiled: the same as in plain Python, and within its arrays."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import policy
from workbench.simulate import ObjectTrace, _run, simulate

NAMES = [*policy.names(), "lru+tinylfu"]
# A replay of the shipped recording under both plans, with evictions: each index of the engine's is looked at.
REPLAY = """
from workbench.replay import Settings, Workload, replay
from workbench.trace import dataset
recorded = dataset()
work = Workload.from_reads(recorded.reads, recorded.image)
for plan in ("exact", "reference"):
    settings = Settings(plan=plan, eviction="s3-fifo", capacity=4 << 20, prefetch="whole blob")
    print(len(replay(work, recorded.image, settings).requests))
"""


class Strict:
    """A list's rest from some place on, in which nobody counts from the end."""

    def __init__(self, items: list[Any], start: int = 0) -> None:
        self.items, self.start = items, start

    def __len__(self) -> int:
        return len(self.items) - self.start

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Strict(self.items, self.start + place.start)
        assert place >= 0
        return self.items[self.start + place]

    def __setitem__(self, place: int, value: Any) -> None:
        assert place >= 0
        self.items[self.start + place] = value


@functools.cache
def trace(sized: bool, scale: int = 1) -> ObjectTrace:
    """Zipf with scans in it; sizes are so many times as large."""
    rng = np.random.default_rng(11)
    ids = np.where(rng.random(4000) < 0.7, np.minimum(rng.zipf(1.2, 4000), 300), np.arange(4000) % 300)
    return ObjectTrace.from_arrays(ids, scale * (rng.integers(1, 40, 301)[ids] if sized else 20))


@pytest.mark.parametrize("sized", [False, True], ids=["equal", "sized"])
@pytest.mark.parametrize("name", NAMES)
def test_as_plain(name: str, sized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal sizes or not, all counts are those of plain Python, where no negative index passes unseen."""
    chosen = policy.get(name)
    compiled = simulate(trace(sized), chosen, 1500)
    arenas = _run._arenas

    def strict(*arguments: Any) -> Any:
        ints, floats, count = arenas(*arguments)
        return Strict(ints.tolist()), Strict(floats.tolist()), count

    monkeypatch.setattr(_run, "_arenas", strict)
    assert simulate(trace(sized), replace(chosen, interpreted=True), 1500) == compiled


@pytest.mark.parametrize("name", ["fifo", "s3-fifo"])
def test_as_called(name: str) -> None:
    """A policy that is called through function values counts as one that is compiled into the loop."""
    chosen = policy.get(name)
    assert simulate(trace(True), replace(chosen, specialised=False), 1500) == simulate(trace(True), chosen, 1500)


@pytest.mark.parametrize("name", [name for name in NAMES if policy.get(name).narrow])
def test_wide(name: str) -> None:
    """With sizes for which 32 bits have no room, all is the same and so many times as large."""
    small, large = simulate(trace(True), name, 1500), simulate(trace(True, 1 << 24), name, 1500 << 24)
    assert (large.misses, large.evictions, large.refused) == (small.misses, small.evictions, small.refused)
    assert large.miss_bytes == small.miss_bytes << 24


@pytest.mark.slow
def test_engine_within_bounds(tmp_path: Path) -> None:
    """Nor has the timed engine, nor an index past an end."""
    where = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", REPLAY], env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(int(count) > 0 for count in done.stdout.split())
