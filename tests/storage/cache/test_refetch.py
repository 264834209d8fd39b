"""Bytes spoilt on their way are fetched once more, and once only; what comes then counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storage.backend import FaultyBackend, LocalFs, RecordingBackend, WrongBytes, scripted
from storage.codec import Compressor
from storage.errors import IntegrityError
from storage.events import Recorder, audit
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows

_SIZE = 20_000


@pytest.fixture(params=[Compressor.NONE, Compressor.ZSTD])
def blob(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A blob of six chunks, compressed or not."""
    (tmp_path / "blobs").mkdir()
    dice = np.random.default_rng(4)
    chunks = [dice.bytes(_SIZE // 2) + bytes(_SIZE // 2) for _ in range(6)]
    return make_blobs(tmp_path / "blobs", [chunks], request.param)


def spoilt(made: Made, *rows: int) -> RecordingBackend:
    """The folder; a request for all has a wrong byte in chunk `rows[0]`, and those for a chunk alone in theirs."""
    first = [WrongBytes(int(made.chunks.compressed_offset[row]) + 50 if n == 0 else 50) for n, row in enumerate(rows)]
    return RecordingBackend(FaultyBackend(LocalFs(made.folder), scripted(first)))


def span(made: Made, row: int) -> tuple[int, int]:
    """Where a chunk is stored."""
    return int(made.chunks.compressed_offset[row]), int(made.chunks.compressed_size[row])


def test_spoilt_once(blob: Made, tmp_path: Path) -> None:
    """A chunk spoilt once is read right, after one more request for it alone; that is a retry and no failure."""
    backend, recorder = spoilt(blob, 3), Recorder()
    cache = open_cache(blob, tmp_path / "cache", backend=backend, recorder=recorder)
    read_chunks(cache, blob, range(6))
    assert [(request.offset, request.length) for request in backend.requests[1:]] == [span(blob, 3)]
    assert ready_rows(cache) == list(range(6))
    assert_at_rest(cache)
    cache.close()
    events = recorder.table().to_pandas()
    assert list(events[events["kind"] == "retry"]["chunk"]) == [3]
    assert list(events[events["kind"] == "failure"]["chunk"]) == []
    assert audit(recorder.table()).by_cause["refetch"] == span(blob, 3)[1]


def test_spoilt_twice(blob: Made, tmp_path: Path) -> None:
    """A chunk spoilt again fails the read, by blob and chunk, after two requests; the next read is served right."""
    backend, recorder = spoilt(blob, 2, 2), Recorder()
    cache = open_cache(blob, tmp_path / "cache", backend=backend, recorder=recorder)
    with pytest.raises(IntegrityError) as refused:
        read_chunks(cache, blob, range(6))
    assert refused.value.where == {"blob": blob.infos[0].blob_id, "chunk": 2, "offset": span(blob, 2)[0]}
    assert len(backend.requests) == 2
    read_chunks(cache, blob, range(6))
    assert_at_rest(cache)
    cache.close()
    events = recorder.table().to_pandas()
    assert (events["kind"] == "failure").sum() == 1
    audit(recorder.table())


def test_spoilt_beside(blob: Made, tmp_path: Path) -> None:
    """A chunk spoilt in a request that was widened to it is not fetched again for nobody."""
    backend = spoilt(blob, 4)
    cache = open_cache(blob, tmp_path / "cache", backend=backend, amplify_io=1 << 20)
    read_chunks(cache, blob, [0])
    assert len(backend.requests) == 1
    assert ready_rows(cache) == [0, 1, 2, 3, 5]
    cache.close()
