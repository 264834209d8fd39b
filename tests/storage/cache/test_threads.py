"""Many threads on the same cold chunks: each chunk is asked of the backend once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.cache import FileCache
from storage.events import Recorder, audit
from storage.plan import BLOCKED
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks

THREADS = 16


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """Run `work(number)` in threads that begin together; what one of them raises is raised here."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def times_fetched(made: Made, backend: WatchedBackend) -> Counter[int]:
    """How often each chunk lay within a range that the backend was asked for."""
    blob_of = {info.blob_id: info.blob_index for info in made.infos}
    starts, ends = made.chunks.compressed_offset, made.chunks.compressed_offset + made.chunks.compressed_size
    counts: Counter[int] = Counter()
    for blob_id, offset, length in backend.requests:
        inside = (made.chunks.blob == blob_of[blob_id]) & (starts >= offset) & (ends <= offset + length)
        counts.update(inside.nonzero()[0].tolist())
    return counts


def runs_of(made: Made, count: int, seed: int) -> list[range]:
    """Runs of up to five whole chunks from anywhere."""
    rng, firsts = random.Random(seed), len(made.contents)
    starts = (rng.randrange(firsts) for _ in range(count))
    return [range(first, min(first + rng.randrange(1, 6), firsts)) for first in starts]


def random_reads(cache: FileCache, made: Made, count: int, seed: int) -> None:
    """Read such runs."""
    for run in runs_of(made, count, seed):
        read_chunks(cache, made, run)


@pytest.mark.parametrize("amplify_io", [0, 30_000, 1 << 20])
def test_same_chunks_at_once(amplify_io: int, made: Made, tmp_path: Path) -> None:
    """16 threads read all chunks in the same order, cold: right bytes, each chunk fetched exactly once."""
    backend = WatchedBackend(LocalFs(made.folder))
    recorder = Recorder()
    cache = open_cache(made, tmp_path, backend=backend, amplify_io=amplify_io, recorder=recorder)

    def read_all(number: int) -> None:
        for row in range(len(made.contents)):
            read_chunks(cache, made, [row])

    in_threads(read_all)
    assert times_fetched(made, backend) == dict.fromkeys(range(len(made.contents)), 1)
    assert audit(recorder.table()).by_cause.keys() == ({"demand", "amplify"} if amplify_io else {"demand"})
    assert_at_rest(cache)
    cache.close()


@pytest.mark.parametrize("amplify_io", [0, 1 << 20])
def test_any_order_with_prefetch(amplify_io: int, made: Made, tmp_path: Path) -> None:
    """With reads from anywhere and a prefetch of everything beside them, no chunk is fetched twice either."""
    backend = WatchedBackend(LocalFs(made.folder))
    cache = open_cache(made, tmp_path, backend=backend, amplify_io=amplify_io)
    cache.prefetch(range(len(made.contents)))
    in_threads(lambda number: random_reads(cache, made, 20, number))
    cache.drain()
    assert times_fetched(made, backend) == dict.fromkeys(range(len(made.contents)), 1)
    assert_at_rest(cache)
    cache.close()


def test_who_waits_is_a_delayed_hit(made: Made, tmp_path: Path) -> None:
    """While one thread's fetch is held up, the others wait for it, and are served from what it brought."""
    held, go_on = threading.Event(), threading.Event()

    def hold(blob_id: str, offset: int, length: int) -> None:
        held.set()
        assert go_on.wait(30)

    backend, recorder = WatchedBackend(LocalFs(made.folder), hold), Recorder()
    cache = open_cache(made, tmp_path, backend=backend, recorder=recorder)
    readers = [threading.Thread(target=read_chunks, args=(cache, made, [7])) for _ in range(4)]
    readers[0].start()
    assert held.wait(30)
    for reader in readers[1:]:
        reader.start()
    deadline = time.monotonic() + 30
    while cache.decider.state.counters[BLOCKED] < 4:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    go_on.set()
    for reader in readers:
        reader.join(30)
    ledgers = audit(recorder.table())
    size = len(made.contents[7])
    assert (ledgers.asked, ledgers.fetched, ledgers.waited) == (4 * size, size, 3 * size)
    assert len(backend.requests) == 1
    cache.close()
