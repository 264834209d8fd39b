"""Prefetch: in order, in batches, behind users, and without a word when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.backend import HttpProxy, LocalFs
from storage.events import Recorder, audit
from storage.plan import plan_layout
from storage.plan._state import PENDING
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.zran import make_zran
from tests.servers.nginx import nginx

CHUNK = 40_000


def test_everything(made: Made, tmp_path: Path) -> None:
    """After a prefetch of all there is, every read is a hit, and all bytes received are the prefetch's."""
    backend, recorder = WatchedBackend(LocalFs(made.folder)), Recorder()
    cache = open_cache(made, tmp_path, backend=backend, amplify_io=1 << 20, recorder=recorder)
    cache.prefetch(range(len(made.contents)))
    cache.drain()
    assert ready_rows(cache) == list(range(len(made.contents)))
    requests = len(backend.requests)
    read_chunks(cache, made, range(len(made.contents)))
    assert len(backend.requests) == requests
    ledgers = audit(recorder.table())
    assert ledgers.asked == ledgers.hit == sum(map(len, made.contents))
    assert ledgers.by_cause == {"prefetch": int(made.chunks.stored_size.sum())}
    assert_at_rest(cache)
    cache.close()


def test_batches(noise: Made, tmp_path: Path) -> None:
    """Neighbours go into one request until it has 128 KiB: four chunks of 40,000 bytes; the order is the list's."""
    backend = WatchedBackend(LocalFs(noise.folder))
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    cache.prefetch([10, 11, 12, 13, 14, 15, 2, 0])
    cache.drain()
    asked = [(offset // CHUNK, length // CHUNK) for _, offset, length in backend.requests]
    assert asked == [(10, 4), (14, 2), (2, 1), (0, 1)]
    cache.close()


def test_begins_before_it_returns(noise: Made, tmp_path: Path) -> None:
    """When `prefetch` returns, each worker has claimed what it fetches; who reads then waits for it."""
    held = threading.Event()
    backend = WatchedBackend(LocalFs(noise.folder), lambda *asked: held.wait(10))
    cache = open_cache(noise, tmp_path / "cache", backend=backend, prefetch_workers=2)
    for rows in ([0, 10], [5]):  # one for each of the workers, and one for neither
        cache.prefetch(rows)
    assert [row for row in range(20) if cache.decider.state.status[row] == PENDING] == [0, 10]
    held.set()
    cache.drain()
    assert ready_rows(cache) == [0, 5, 10]
    assert_at_rest(cache)
    cache.close()


def test_passes_over_what_is_there(noise: Made, tmp_path: Path) -> None:
    """Chunks that are ready are not fetched again, nor do they join a request."""
    backend = WatchedBackend(LocalFs(noise.folder))
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    read_chunks(cache, noise, [1])
    cache.prefetch([0, 1, 2, 2, 0])
    cache.drain()
    asked = [(offset // CHUNK, length // CHUNK) for _, offset, length in backend.requests]
    assert asked == [(1, 1), (0, 1), (2, 1)]
    cache.close()


def test_with_nobody_to_do_it(noise: Made, tmp_path: Path) -> None:
    """Without workers wishes are dropped, and nobody waits for them."""
    cache = open_cache(noise, tmp_path, prefetch_workers=0)
    cache.prefetch([0, 1])
    cache.prefetch_streams()
    cache.drain()
    assert ready_rows(cache) == []
    assert_at_rest(cache)
    cache.close()


def hold_at(row: int, held: threading.Event, go_on: threading.Event) -> Callable[[str, int, int], None]:
    """What holds a request up that begins with a chunk of `noise`."""

    def before(blob_id: str, offset: int, length: int) -> None:
        if offset == row * CHUNK:
            held.set()
            assert go_on.wait(30)

    return before


def test_users_go_first(noise: Made, tmp_path: Path) -> None:
    """While a user read waits for its bytes, no prefetch begins; afterwards all is done."""
    held, go_on = threading.Event(), threading.Event()
    backend = WatchedBackend(LocalFs(noise.folder), hold_at(19, held, go_on))
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    user = threading.Thread(target=read_chunks, args=(cache, noise, [19]))
    user.start()
    assert held.wait(30)
    cache.prefetch(range(8))
    assert len(backend.requests) == 1
    go_on.set()
    user.join(30)
    cache.drain()
    asked = [(offset // CHUNK, length // CHUNK) for _, offset, length in backend.requests]
    assert asked == [(19, 1), (0, 4), (4, 4)]
    cache.close()


def test_failures_are_events(noise: Made, tmp_path: Path) -> None:
    """A prefetch whose requests fail raises nothing, leaves nothing behind, and each failure is recorded."""
    recorder = Recorder()
    backend = WatchedBackend(LocalFs(noise.folder), refuse)
    cache = open_cache(noise, tmp_path / "cache", backend=backend, recorder=recorder)
    cache.prefetch(range(8))
    cache.drain()
    events = recorder.table().to_pandas()
    assert list(events["kind"]) == ["request", "request"]
    assert list(events["outcome"]) == ["error", "error"]
    assert list(events["length"]) == [0, 0]
    assert audit(recorder.table()).received == 0
    assert_at_rest(cache)
    cache.close()


def test_close_stops(noise: Made, tmp_path: Path) -> None:
    """Closing lets the request in flight finish and drops the rest of the queue."""
    held, go_on = threading.Event(), threading.Event()
    backend = WatchedBackend(LocalFs(noise.folder), hold_at(0, held, go_on))
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    cache.prefetch(range(20))
    assert held.wait(30)
    closing = threading.Thread(target=cache.close)
    closing.start()
    while not cache.prefetcher._stopping:
        time.sleep(0.001)
    go_on.set()
    closing.join(30)
    assert not closing.is_alive()
    assert len(backend.requests) == 1
    again = open_cache(noise, tmp_path / "cache")
    assert ready_rows(again) == [0, 1, 2, 3]
    again.close()


def test_a_user_promotes_what_is_queued(noise: Made, tmp_path: Path) -> None:
    """A chunk that is queued and wanted is fetched before all that is queued, alone, and its batch without it."""
    held, go_on = threading.Event(), threading.Event()
    backend = WatchedBackend(LocalFs(noise.folder), hold_at(0, held, go_on))
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    cache.prefetch(range(12))
    assert held.wait(30)
    read_chunks(cache, noise, [9])
    go_on.set()
    cache.drain()
    asked = [(offset // CHUNK, length // CHUNK) for _, offset, length in backend.requests]
    assert asked == [(0, 4), (9, 1), (4, 4), (8, 1), (10, 2)]
    assert_at_rest(cache)
    cache.close()


def test_stop_and_start(noise: Made, tmp_path: Path) -> None:
    """Stopping drops the queue and lets the request in flight finish; until it is started no wish is taken."""
    held, go_on = threading.Event(), threading.Event()
    backend = WatchedBackend(LocalFs(noise.folder), hold_at(0, held, go_on))
    cache = open_cache(noise, tmp_path / "cache", backend=backend)
    cache.prefetch(range(20))
    assert held.wait(30)
    cache.stop_prefetch()
    cache.prefetch([19])
    go_on.set()
    cache.drain()
    assert ready_rows(cache) == [0, 1, 2, 3]
    cache.start_prefetch()
    cache.prefetch([19])
    cache.drain()
    assert ready_rows(cache) == [0, 1, 2, 3, 19]
    cache.close()


def test_workers(noise: Made, tmp_path: Path) -> None:
    """Four workers have four requests under way at once, and no more."""
    meet = threading.Barrier(4)
    backend = WatchedBackend(LocalFs(noise.folder), lambda *_: meet.wait(30) and None)
    cache = open_cache(noise, tmp_path / "cache", backend=backend, prefetch_workers=4)
    cache.prefetch(range(0, 16, 2))
    cache.drain()
    assert len(backend.requests) == 8
    assert len(cache.prefetcher._threads) == 4
    cache.close()


def test_bandwidth(noise: Made, tmp_path: Path) -> None:
    """What users read is taken from prefetch: it waits for 32 MiB at 16 MiB/s; users wait for nothing meanwhile."""
    backend = WatchedBackend(LocalFs(noise.folder))
    cache = open_cache(noise, tmp_path / "cache", backend=backend, prefetch_bandwidth=1)
    start = time.monotonic()
    cache.prefetcher.spend(100 << 20)
    cache.prefetch([0])
    for row in range(1, 20):
        read_chunks(cache, noise, [row])
    assert time.monotonic() - start < 0.9
    assert 0 not in [offset // CHUNK for _, offset, _ in backend.requests]
    cache.drain()
    assert time.monotonic() - start >= 0.99
    assert ready_rows(cache) == list(range(20))
    cache.prefetcher.spend(100 << 20)
    cache.close()


def test_no_chunk_is_claimed_while_prefetch_waits_for_its_turn(noise: Made, tmp_path: Path) -> None:
    """A user who reads what prefetch may not ask for yet fetches it himself at once; closing does not wait either."""
    cache = open_cache(noise, tmp_path / "cache", prefetch_bandwidth=1)
    start = time.monotonic()
    cache.prefetcher.spend(100 << 20)
    cache.prefetch(range(4))
    read_chunks(cache, noise, [2])
    cache.close()
    assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_streams(plan: str, each_made: Made, tmp_path: Path) -> None:
    """Whole blobs as streams: every chunk once, those that were there passed by, and every byte accounted for."""
    recorder = Recorder()
    cache = open_cache(each_made, tmp_path, plan=plan, recorder=recorder, prefetch_workers=2)
    last = len(each_made.contents) - 1
    read_chunks(cache, each_made, [0, 30, last])
    cache.prefetch_streams()
    cache.drain()
    assert ready_rows(cache) == list(range(len(each_made.contents)))
    read_chunks(cache, each_made, range(len(each_made.contents)))
    ledgers = audit(recorder.table())
    if plan == "exact":
        assert ledgers.by_cause["demand"] + ledgers.by_cause["prefetch"] == int(each_made.chunks.stored_size.sum())
    assert_at_rest(cache)
    cache.close()


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("before", [[], [20], [0, 7, 30]])
def test_a_stream_of_gzip(plan: str, before: list[int], tmp_path: Path) -> None:
    """Pieces of a gzip stream overlap, but what a stream receives from its first to its last is received once."""
    (tmp_path / "blobs").mkdir()
    made = make_zran(tmp_path / "blobs", [[np.random.default_rng(n).bytes(150_000) for n in range(40)]])
    recorder = Recorder()
    cache = open_cache(made, tmp_path / "cache", plan=plan, recorder=recorder)
    layout = plan_layout(made.chunks)
    assert (layout.end[:-1] > layout.start[1:])[layout.unit[:-1] != layout.unit[1:]].any()
    if before:
        read_chunks(cache, made, before)
    missing = np.setdiff1d(np.arange(40), ready_rows(cache))
    cache.prefetch_streams()
    cache.drain()
    events = recorder.table()
    audit(events)
    requests = events.to_pandas().query("kind == 'request' and read_id < 0")
    assert requests["length"].sum() == layout.end[missing[-1]] - layout.start[missing[0]]
    cache.close()


def test_one_request_a_blob(made: Made, tmp_path: Path) -> None:
    """Over HTTP a stream is one request for each blob; what is there already is not asked for again."""
    (tmp_path / "nginx").mkdir()
    with nginx(tmp_path / "nginx", made.folder) as server:
        backend = HttpProxy(f"http://127.0.0.1:{server.port}")
        cache = open_cache(made, tmp_path / "cache", backend=backend)
        for _ in range(2):
            cache.prefetch_streams()
            cache.drain()
        assert ready_rows(cache) == list(range(len(made.contents)))
        cache.close()
        backend.close()
    log = (tmp_path / "nginx" / "access.log").read_text().splitlines()
    assert len([line for line in log if '"GET ' in line]) == len(made.infos)
