"""What the live cache decided under threads and faults, a fresh decider decides again from the same inputs."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.cache import FileCache
from storage.errors import BackendError, IntegrityError
from storage.events import Recorder, audit
from storage.plan import Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks
from storage.testing.lru import plain_lru


class Flaky:
    """Fails the first read, and then every third."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def __call__(self, blob_id: str, offset: int, length: int) -> None:
        """Called before each read."""
        if next(self.count) % 3 == 0:
            raise BackendError("the line is bad", blob=blob_id, offset=offset)


def read_here_and_there(cache: FileCache, made: Made, seed: int) -> None:
    """Sixty runs of chunks; what fails is not tried again."""
    dice = random.Random(seed)
    for _ in range(60):
        first = dice.randrange(len(made.contents))
        try:
            read_chunks(cache, made, range(first, min(first + dice.randrange(1, 6), len(made.contents))))
        except BackendError as error:
            assert error.message == "the line is bad"


@pytest.mark.parametrize("capacity", [None, 200_000])
@pytest.mark.parametrize("amplify_io", [0, 1 << 20])
@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_decides_the_same_again(
    plan: str, amplify_io: int, capacity: int | None, each_made: Made, tmp_path: Path
) -> None:
    """8 threads, a prefetch and a bad line: bytes right, books balanced, at rest, and every decision repeated."""
    made, recorder = each_made, Recorder()
    cache = open_cache(
        made,
        tmp_path,
        backend=WatchedBackend(LocalFs(made.folder), Flaky()),
        plan=plan,
        amplify_io=amplify_io,
        capacity=capacity,
        policy=keep_all if capacity is None else plain_lru(),
        recorder=recorder,
        journal=True,
    )
    cache.prefetch(range(len(made.contents)))
    threads = [threading.Thread(target=read_here_and_there, args=(cache, made, seed)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    cache.drain()
    assert_at_rest(cache)
    audit(recorder.table())
    assert "error" in recorder.table()["outcome"].to_pylist()
    journal = cache.decider.journal
    assert journal is not None
    policy = keep_all if capacity is None else plain_lru()
    fresh = Decider(plan_layout(made.chunks), plan_options(plan, amplify_io), capacity, policy)
    assert rerun(journal, fresh) == len(journal)
    assert list(fresh.state.status) == list(cache.decider.state.status)
    assert list(fresh.state.counters) == list(cache.decider.state.counters)
    cache.close()


def test_another_decision_is_noticed(made: Made, tmp_path: Path) -> None:
    """A journal whose decisions were made with other options does not conform."""
    cache = open_cache(made, tmp_path, amplify_io=1 << 20, journal=True)
    read_chunks(cache, made, [0])
    assert cache.decider.journal is not None
    other = Decider(plan_layout(made.chunks), plan_options("exact", 0), None, keep_all)
    with pytest.raises(IntegrityError, match="advance decided"):
        rerun(cache.decider.journal, other)
    cache.close()
