"""A prefetch policy that answers reads of a live cache."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from storage.backend import LocalFs
from storage.plan import Ahead, Segments
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows

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
