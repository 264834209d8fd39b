"""Without a cache: every read goes to the backend, and is verified."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.cache import DummyCache
from storage.errors import BackendError, IntegrityError
from storage.events import Recorder, audit
from storage.plan import plan_options
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs
from storage.testing.cache import Segment, expected

NOISE = [bytes([number, 255 - number]) * 3000 for number in range(24)]


FORMS = {"alone": {}, "batched": {"together": 4}, "encrypted": {"encrypted": True}, "gaps": {"gap": 700}}


@pytest.fixture(params=FORMS)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Two blobs of 12 chunks."""
    (tmp_path / "blobs").mkdir()
    return make_blobs(tmp_path / "blobs", [NOISE[:12], NOISE[12:]], **FORMS[request.param])


def opened(made: Made, backend: WatchedBackend, plan: str = "exact", recorder: Recorder | None = None) -> DummyCache:
    """No cache, over a backend."""
    readers = [backend.get_reader(info.blob_id) for info in made.infos]
    return DummyCache(made.infos, made.chunks, readers, plan_options(plan, 1 << 20), recorder)


def read(cache: DummyCache, segments: list[Segment]) -> bytes:
    """One read."""
    rows, offsets, lengths = (list(column) for column in zip(*segments, strict=True))
    buffer = bytearray(sum(lengths))
    assert cache.read(rows, offsets, lengths, [buffer]) == len(buffer)
    return bytes(buffer)


READS = [
    [(3, 0, 6000)],
    [(3, 100, 50)],
    [(0, 0, 6000), (1, 0, 6000), (2, 0, 10), (5, 7, 1)],
    [(11, 0, 6000), (12, 0, 6000)],
    [(5, 0, 10), (4, 0, 10), (4, 20, 10)],
]


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_reads(plan: str, blobs: Made) -> None:
    """Whatever is read is right, is asked for each time, and the ledgers balance: bytes are all fetched, none hit."""
    backend, recorder = WatchedBackend(LocalFs(blobs.folder)), Recorder()
    cache = opened(blobs, backend, plan, recorder)
    for segments in READS * 2:
        before = len(backend.requests)
        assert read(cache, segments) == expected(blobs, segments)
        assert len(backend.requests) > before
    ledgers = audit(recorder.table())
    assert ledgers.asked == ledgers.fetched == 2 * sum(length for each in READS for _, _, length in each)
    assert (cache.stored, cache.is_ready([0]), cache.is_ready([])) == (0, False, True)


def test_requests(tmp_path: Path) -> None:
    """Neighbours of one read are one request under `exact`; each chunk is one under `reference`, as in nydusd."""
    (tmp_path / "blobs").mkdir()
    made = make_blobs(tmp_path / "blobs", [NOISE])
    counts = {}
    for plan in ("exact", "reference"):
        backend = WatchedBackend(LocalFs(made.folder))
        read(opened(made, backend, plan), [(row, 0, 6000) for row in range(4, 9)])
        counts[plan] = len(backend.requests)
        start, end = (int(column) for column in (made.chunks.compressed_offset[4], made.chunks.compressed_offset[9]))
        assert (backend.requests[0][1], sum(size for _, _, size in backend.requests)) == (start, end - start)
    assert counts == {"exact": 1, "reference": 5}


def test_spoilt_on_the_way(blobs: Made) -> None:
    """A chunk that does not verify is asked for once more; if it is spoilt in the backend, that is an error."""
    path = blobs.folder / blobs.infos[0].blob_id
    content = bytearray(path.read_bytes())
    start, size = int(blobs.chunks.compressed_offset[2]), int(blobs.chunks.compressed_size[2])
    content[start : start + size] = bytes(size)
    path.write_bytes(content)
    backend = WatchedBackend(LocalFs(blobs.folder))
    cache = opened(blobs, backend)
    with pytest.raises(IntegrityError):
        read(cache, [(2, 0, 6000)])
    assert [asked[1:] for asked in backend.requests] == [(start, size)] * 2


def test_failure_is_told(blobs: Made) -> None:
    """What the backend fails to give is an error of that read alone."""

    def fails_at_first(blob_id: str, offset: int, length: int) -> None:
        if len(backend.requests) == 1:
            raise BackendError("the line is bad", blob=blob_id)

    backend = WatchedBackend(LocalFs(blobs.folder), fails_at_first)
    recorder = Recorder()
    cache = opened(blobs, backend, recorder=recorder)
    with pytest.raises(BackendError, match="the line is bad"):
        read(cache, READS[0])
    assert read(cache, READS[0]) == expected(blobs, READS[0])
    audit(recorder.table())


def test_nobody_waits(blobs: Made) -> None:
    """Readers of the same chunk do not wait for each other: eight make eight requests at once."""
    barrier = threading.Barrier(8, timeout=20)
    backend = WatchedBackend(LocalFs(blobs.folder), lambda *asked: barrier.wait() and None)
    cache, outcomes = opened(blobs, backend), []
    threads = [threading.Thread(target=lambda: outcomes.append(read(cache, READS[0]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == [expected(blobs, READS[0])] * 8
