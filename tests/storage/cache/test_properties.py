"""Laws of the cache over random blobs, options and reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.backend import LocalFs
from storage.codec import Compressor
from storage.events import Recorder, audit
from storage.plan import Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, chunk_contents, make_blobs, open_cache, read_lists
from storage.testing.cache import assert_at_rest, expected, read_segments, ready_rows
from storage.testing.lru import plain_lru

COMPRESSORS = st.sampled_from([Compressor.NONE, Compressor.LZ4_BLOCK, Compressor.GZIP, Compressor.ZSTD])
STORED = st.tuples(st.sampled_from([1, 1, 3, 9]), st.booleans())  # how many to a batch, and whether encrypted
AMPLIFY = st.sampled_from([0, 500, 20_000, 1 << 20])


@pytest.mark.parametrize("plan", ["exact", "reference"])
@settings(deadline=None, max_examples=150)
@given(data=st.data(), contents=chunk_contents(), compressor=COMPRESSORS, gap=st.sampled_from([0, 1, 900, 5000]))
def test_whatever_is_read(
    plan: str, data: st.DataObject, contents: list[list[bytes]], compressor: Compressor, gap: int
) -> None:
    """Bytes are the source's, books balance, the cache is at rest and within its bound, decisions are repeated."""
    amplify_io = data.draw(AMPLIFY, "amplify_io")
    total = sum(len(chunk) for chunks in contents for chunk in chunks)
    capacity = data.draw(st.none() | st.integers(0, total + 1), "capacity")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_blobs(folder, contents, compressor, gap, *data.draw(STORED, "stored"))
        recorder = Recorder()
        cache = open_cache(
            made,
            folder / "cache",
            plan=plan,
            amplify_io=amplify_io,
            capacity=capacity,
            policy=keep_all if capacity is None else plain_lru(),
            recorder=recorder,
            journal=True,
        )
        asked = 0
        for segments in data.draw(read_lists(made), "reads"):
            assert read_segments(cache, segments) == expected(made, segments)
            assert_at_rest(cache)
            assert capacity is None or cache.stored <= capacity
            asked += sum(length for _, _, length in segments)
        assert audit(recorder.table()).asked == asked
        assert cache.decider.journal is not None
        policy = keep_all if capacity is None else plain_lru()
        fresh = Decider(plan_layout(made.chunks), plan_options(plan, amplify_io), capacity, policy)
        assert rerun(cache.decider.journal, fresh) == len(cache.decider.journal)
        ready = ready_rows(cache)
        cache.close()
        again = open_cache(made, folder / "cache")
        assert ready_rows(again) == ready
        again.close()


def ranges_of_rows(made: Made, backend: WatchedBackend) -> list[int]:
    """Rows of the chunks that were asked of the backend, with repeats."""
    blob_of = {info.blob_id: info.blob_index for info in made.infos}
    rows = []
    for blob_id, offset, length in backend.requests:
        starts, sizes = made.chunks.compressed_offset, made.chunks.compressed_size
        inside = (starts >= offset) & (starts + sizes <= offset + length) & (made.chunks.blob == blob_of[blob_id])
        rows += inside.nonzero()[0].tolist()
    return rows


@settings(deadline=None, max_examples=150)
@given(data=st.data(), contents=chunk_contents(), gap=st.sampled_from([0, 1, 900]), amplify_io=AMPLIFY)
def test_exact_never_fetches_twice(data: st.DataObject, contents: list[list[bytes]], gap: int, amplify_io: int) -> None:
    """Without a bound, plan `exact` asks for no chunk twice, whatever is read; and what it has is all it asked for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_blobs(folder, contents, Compressor.ZSTD, gap, *data.draw(STORED, "stored"))
        backend = WatchedBackend(LocalFs(made.folder))
        cache = open_cache(made, folder / "cache", backend=backend, amplify_io=amplify_io)
        for segments in data.draw(read_lists(made), "reads"):
            read_segments(cache, segments)
        rows = ranges_of_rows(made, backend)
        assert sorted(rows) == ready_rows(cache)
        cache.close()


@settings(deadline=None, max_examples=100)
@given(data=st.data(), contents=chunk_contents(), compressor=COMPRESSORS)
def test_scattered_over_buffers(data: st.DataObject, contents: list[list[bytes]], compressor: Compressor) -> None:
    """A read into several buffers fills one after the other, cold and warm, and no byte past its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_blobs(folder, contents, compressor)
        cache = open_cache(made, folder / "cache")
        segments = data.draw(read_lists(made, max_reads=1), "read")[0]
        want = expected(made, segments)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(want)), max_size=4), "cuts"))
        sizes = [end - start for start, end in zip([0, *cuts], [*cuts, len(want)], strict=True)]
        rows, offsets, lengths = (list(column) for column in zip(*segments, strict=True))
        for _ in range(2):
            buffers = [*map(bytearray, sizes), bytearray(b"untouched")]
            assert cache.read(rows, offsets, lengths, buffers) == len(want)
            assert b"".join(buffers) == want + b"untouched"
        cache.close()
