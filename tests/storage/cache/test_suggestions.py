"""A prefetch policy that answers reads of a live cache."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.events import Recorder, audit
from storage.plan import Ahead, Decider, Segments, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru
from tests.storage.cache.test_threads import in_threads, runs_of, times_fetched

CHUNK = 40_000


def _next_two(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    """The two chunks behind; counts reads that it is asked about, and hits among them."""
    ints[0] += 1
    ints[1] += ready
    out[0], out[1] = chunk + 1, chunk + 2
    return 2


def answering(ints: Any) -> Ahead:
    """The policy, with memory that the test can look at."""
    return Ahead(_next_two, ints.data, np.zeros(1).data)


def test_the_next_two(noise: Made, tmp_path: Path) -> None:
    """With a chunk come the two behind it, in one request; of what is there already nothing is asked again."""
    backend, ints = WatchedBackend(LocalFs(noise.folder)), np.zeros(2, np.int64)
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    cache.answer(answering(ints))
    for chunk in (3, 4, 5, 19):
        read_chunks(cache, noise, [chunk])
        cache.drain()
    asked = [(offset // CHUNK, length // CHUNK) for _, offset, length in backend.requests]
    assert asked == [(3, 1), (4, 2), (6, 1), (7, 1), (19, 1)]
    assert ready_rows(cache) == [3, 4, 5, 6, 7, 19]
    assert ints.tolist() == [4, 2]
    assert_at_rest(cache)
    cache.close()


@pytest.mark.parametrize("capacity", [None, 300_000])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_of_many_readers(plan: str, workers: int, capacity: int | None, each_made: Made, tmp_path: Path) -> None:
    """Of four readers: right bytes, balanced books, decisions that come out the same again, each read heard once.

    Where nothing is evicted, plan `exact` has no chunk fetched twice, whoever asked for it.
    """
    made, backend, recorder = each_made, WatchedBackend(LocalFs(each_made.folder)), Recorder()
    ints, policy = np.zeros(2, np.int64), keep_all if capacity is None else plain_lru()
    cache = open_cache(
        made,
        tmp_path / "cache",
        backend=backend,
        plan=plan,
        capacity=capacity,
        policy=policy,
        recorder=recorder,
        prefetch_workers=workers,
        journal=True,
    )
    cache.answer(answering(ints))

    def read_and_think(number: int) -> None:
        for run in runs_of(made, 20, number):
            read_chunks(cache, made, run)
            time.sleep(0.002)

    read_chunks(cache, made, [0])
    cache.drain()  # what it suggests is prefetched for certain; of the rest users may have had all before
    in_threads(read_and_think, 4)
    cache.drain()
    assert_at_rest(cache)
    events = recorder.table()
    audit(events)
    assert ints[0] == 1 + sum(len(run) for number in range(4) for run in runs_of(made, 20, number))
    assert "prefetch" in events["cause"].to_pylist()
    if plan == "exact" and capacity is None:
        assert set(times_fetched(made, backend).values()) == {1}
    fresh = Decider(plan_layout(made.chunks), plan_options(plan, 0), capacity, policy)
    assert cache.decider.journal is not None
    assert rerun(cache.decider.journal, fresh) == len(cache.decider.journal)
    cache.close()


def test_before_what_is_queued(noise: Made, tmp_path: Path) -> None:
    """What is suggested goes before a list that is still queued."""
    first, go = threading.Event(), threading.Event()

    def hold(blob_id: str, offset: int, length: int) -> None:
        first.set()
        assert go.wait(10)

    backend = WatchedBackend(LocalFs(noise.folder), hold)
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    cache.answer(answering(np.zeros(2, np.int64)))
    cache.prefetch([10, 12, 14, 16])
    assert first.wait(10)
    with cache.changed:
        cache.prefetcher.hear(Segments([0], [0], [CHUNK]))
    go.set()
    cache.drain()
    asked = [(offset // CHUNK, length // CHUNK) for _, offset, length in backend.requests]
    assert asked == [(10, 1), (1, 2), (12, 1), (14, 1), (16, 1)]
    cache.close()


def test_stopped(noise: Made, tmp_path: Path) -> None:
    """A cache that is not to prefetch asks no policy."""
    ints = np.zeros(2, np.int64)
    cache = open_cache(noise, tmp_path / "cache")
    cache.answer(answering(ints))
    cache.stop_prefetch()
    read_chunks(cache, noise, [3])
    assert ints.tolist() == [0, 0]
    cache.start_prefetch()
    read_chunks(cache, noise, [8])
    cache.drain()
    assert ready_rows(cache) == [3, 8, 9, 10]
    cache.close()
