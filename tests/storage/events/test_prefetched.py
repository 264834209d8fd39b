"""What prefetch was good for, counted from events."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from storage.backend import LocalFs
from storage.events import Prefetched, Recorder, prefetched
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import read_chunks
from storage.testing.lru import plain_lru

CHUNK = 40_000


def test_of_nothing() -> None:
    """A run without events has prefetched nothing, which is accurate, on time, and covers nothing."""
    nothing = prefetched(Recorder().table())
    assert nothing == Prefetched(0, 0, 0, 0, 0, 0, 0)
    assert (nothing.accuracy, nothing.coverage, nothing.lateness) == (1.0, 0.0, 0.0)


def test_used_and_not(noise: Made, tmp_path: Path) -> None:
    """Of eight chunks prefetched three are read, in an order that is not theirs; two more are fetched by users."""
    recorder = Recorder()
    cache = open_cache(noise, tmp_path / "cache", recorder=recorder)
    cache.prefetch(range(8))
    cache.drain()
    read_chunks(cache, noise, [5, 2, 7])
    read_chunks(cache, noise, [2])
    read_chunks(cache, noise, [12])
    read_chunks(cache, noise, [14])
    cache.close()
    found = prefetched(recorder.table())
    assert found == Prefetched(8, 3, 0, 2, 0, 8 * CHUNK, 5 * CHUNK)
    assert (found.accuracy, found.coverage, found.lateness) == (3 / 8, 3 / 5, 0.0)


def test_what_was_there_before(noise: Made, tmp_path: Path) -> None:
    """Hits on what an earlier run left are nobody's merit."""
    cache = open_cache(noise, tmp_path / "cache")
    read_chunks(cache, noise, range(8))
    cache.close()
    recorder = Recorder()
    cache = open_cache(noise, tmp_path / "cache", recorder=recorder)
    read_chunks(cache, noise, range(8))
    cache.close()
    assert prefetched(recorder.table()) == Prefetched(0, 0, 0, 0, 0, 0, 0)


def test_late(noise: Made, tmp_path: Path) -> None:
    """A user who reads a chunk while its prefetch is under way waits for it: used, and late."""
    recorder, held, go_on = Recorder(), threading.Event(), threading.Event()

    def hold(blob_id: str, offset: int, length: int) -> None:
        held.set()
        assert go_on.wait(30)

    cache = open_cache(
        noise, tmp_path / "cache", backend=WatchedBackend(LocalFs(noise.folder), hold), recorder=recorder
    )
    cache.prefetch([0, 1])
    assert held.wait(30)
    user = threading.Thread(target=read_chunks, args=(cache, noise, [1]))
    user.start()
    while not cache.decider.state.counters[2]:  # until the user is blocked
        time.sleep(0.001)
    go_on.set()
    user.join(30)
    read_chunks(cache, noise, [0])
    cache.close()
    found = prefetched(recorder.table())
    assert (found.chunks, found.used, found.late, found.demanded) == (2, 2, 1, 0)
    assert found.lateness == 0.5
    assert found.late_ns > 0


def test_evicted_unread(noise: Made, tmp_path: Path) -> None:
    """A chunk that is evicted before it is read was prefetched for nothing; what its reader fetches is his own."""
    recorder = Recorder()
    cache = open_cache(noise, tmp_path / "cache", capacity=2 * CHUNK, policy=plain_lru(), recorder=recorder)
    for rows in ([0, 1], [2, 3]):
        cache.prefetch(rows)
        cache.drain()
    read_chunks(cache, noise, [3])
    read_chunks(cache, noise, [0])
    cache.close()
    found = prefetched(recorder.table())
    assert found == Prefetched(4, 1, 0, 1, 0, 4 * CHUNK, 3 * CHUNK)
