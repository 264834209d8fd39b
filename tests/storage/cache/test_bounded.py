"""A cache with a capacity: never more than that, nothing pinned goes, and its space is given back."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.cache import read_chunk_map
from storage.errors import CacheError
from storage.events import Recorder
from storage.plan import SERVE, Segments
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

CHUNK = 64 << 10


@pytest.fixture
def even(tmp_path: Path) -> Made:
    """A blob of 16 chunks of 64 KiB of noise."""
    dice = random.Random(5)
    (tmp_path / "blobs").mkdir()
    return make_blobs(tmp_path / "blobs", [[dice.randbytes(CHUNK) for _ in range(16)]])


def test_capacity_is_never_exceeded(even: Made, tmp_path: Path) -> None:
    """With room for four of 16 chunks: at most four at any time, the last four read are there, the map agrees."""
    cache = open_cache(even, tmp_path / "cache", capacity=4 * CHUNK, policy=plain_lru())
    for row in range(16):
        read_chunks(cache, even, [row])
        assert cache.stored == min(row + 1, 4) * CHUNK
        assert ready_rows(cache) == list(range(max(row - 3, 0), row + 1))
    (chunk_map,) = (tmp_path / "cache").glob("*.chunk_map")
    assert read_chunk_map(chunk_map, 16).nonzero()[0].tolist() == [12, 13, 14, 15]
    assert_at_rest(cache)
    cache.close()


@pytest.mark.skipif(sys.platform != "linux", reason="holes are punched on Linux only")
def test_space_is_given_back(even: Made, tmp_path: Path) -> None:
    """The cache file's blocks on disk are those of the chunks that are in it: evicted ones are holes."""
    cache = open_cache(even, tmp_path / "cache", capacity=4 * CHUNK, policy=plain_lru())
    (data,) = (tmp_path / "cache").glob("*.blob.data")
    used = []
    for row in range(16):
        read_chunks(cache, even, [row])
        used.append(data.stat().st_blocks * 512)
    assert max(used) <= 4 * CHUNK + 4096
    assert data.stat().st_size == 16 * CHUNK
    assert data.read_bytes()[: 12 * CHUNK] == bytes(12 * CHUNK)
    cache.close()


def test_evicted_chunks_come_again(even: Made, tmp_path: Path) -> None:
    """Two rounds over 16 chunks with room for four: every read right, every chunk fetched twice, 28 evicted."""
    backend, recorder = WatchedBackend(LocalFs(even.folder)), Recorder()
    folder = tmp_path / "cache"
    cache = open_cache(even, folder, backend=backend, capacity=4 * CHUNK, policy=plain_lru(), recorder=recorder)
    for row in [*range(16), *range(16)]:
        read_chunks(cache, even, [row])
    assert len(backend.requests) == 32
    kinds = recorder.table()["kind"].to_pylist()
    assert kinds.count("evict") == 28
    cache.close()


def test_too_large_for_the_cache(even: Made, tmp_path: Path) -> None:
    """A chunk larger than the capacity is served and not kept; nothing else has to go for it."""
    cache = open_cache(even, tmp_path / "cache", capacity=CHUNK - 1, policy=plain_lru())
    read_chunks(cache, even, [3])
    read_chunks(cache, even, [3, 4])
    assert (cache.stored, ready_rows(cache)) == (0, [])
    assert_at_rest(cache)
    cache.close()


def test_larger_read_than_the_cache(even: Made, tmp_path: Path) -> None:
    """One read of all 16 chunks through a cache of four is right, and four are kept."""
    cache = open_cache(even, tmp_path / "cache", capacity=4 * CHUNK, policy=plain_lru(), amplify_io=1 << 20)
    read_chunks(cache, even, range(16))
    assert cache.stored == 4 * CHUNK
    assert_at_rest(cache)
    cache.close()


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_threads_on_a_small_cache(plan: str, made: Made, tmp_path: Path) -> None:
    """8 threads over 120 chunks with room for a few: right bytes, so nothing was evicted while it was read."""
    largest = max(len(content) for content in made.contents)
    cache = open_cache(made, tmp_path, plan=plan, capacity=2 * largest, policy=plain_lru(), amplify_io=100_000)
    over: list[int] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(80):
            read_chunks(cache, made, [dice.randrange(len(made.contents)) for _ in range(3)])
            if cache.stored > 2 * largest:
                over.append(cache.stored)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert over == []
    assert_at_rest(cache)
    cache.close()


def test_pinned_chunk_is_no_victim(even: Made, tmp_path: Path) -> None:
    """While a chunk is being served it is pinned: others are evicted around it, until there is no victim."""
    cache = open_cache(even, tmp_path / "cache", capacity=2 * CHUNK, policy=plain_lru())
    read_chunks(cache, even, [0, 1])
    with cache.changed:
        serving = cache.decider.begin(Segments([0], [0], [CHUNK]))
        assert cache.decider.advance(serving) == SERVE
    for row in (2, 3, 4):
        read_chunks(cache, even, [row])
        assert ready_rows(cache) == [0, row]
    with cache.changed:
        cache.decider.served(serving)
    read_chunks(cache, even, [5, 6])
    assert ready_rows(cache) == [5, 6]
    assert_at_rest(cache)
    cache.close()


def test_bounded_folder_is_for_one(even: Made, tmp_path: Path) -> None:
    """While a bounded cache has a folder nobody else opens it; an unbounded one keeps bounded ones out."""
    folder = tmp_path / "cache"
    cache = open_cache(even, folder, capacity=4 * CHUNK, policy=plain_lru())
    for capacity in (None, 4 * CHUNK):
        with pytest.raises(CacheError, match="in use") as refused:
            open_cache(even, folder, capacity=capacity, policy=plain_lru())
        assert refused.value.where["path"] == folder
    cache.close()
    shared = [open_cache(even, folder), open_cache(even, folder)]
    with pytest.raises(CacheError, match="in use"):
        open_cache(even, folder, capacity=4 * CHUNK, policy=plain_lru())
    for cache in shared:
        cache.close()
    open_cache(even, folder, capacity=4 * CHUNK, policy=plain_lru()).close()
