"""`BlobDevice` and its views: upstream's names, over rows of the chunk table."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.device import BlobDevice, BlobIoDesc, BlobIoRange, BlobIoVec, BlobPrefetchRequest
from storage.errors import ConfigError
from storage.events import Recorder, audit
from storage.testing.blobs import Made, make_blobs, open_cache

CONTENTS = [[b"a" * 5000, b"b" * 100, b"c" * 9000], [b"d" * 3000]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Three chunks in one blob, one in another."""
    (tmp_path / "blobs").mkdir()
    return make_blobs(tmp_path / "blobs", CONTENTS)


@pytest.fixture
def device(made: Made, tmp_path: Path) -> BlobDevice:
    """A device over them."""
    return BlobDevice(made.infos, made.blobs, made.chunks, open_cache(made, tmp_path / "cache", recorder=Recorder()))


def test_chunk_info(made: Made, device: BlobDevice) -> None:
    """A chunk's facts by upstream's names; chunks are found by blob and index."""
    chunk = device.chunk_info(0, 2)
    assert (chunk.id, chunk.blob_index, chunk.row) == (2, 0, 2)
    assert (chunk.uncompressed_offset, chunk.uncompressed_size, chunk.uncompressed_end) == (12288, 9000, 21288)
    assert chunk.compressed_end == chunk.compressed_offset + chunk.compressed_size
    assert chunk.is_compressed
    assert device.chunk_info(1, 0).row == 3
    assert (chunk.has_crc32, chunk.crc32, len(chunk.chunk_id)) == (False, 0, 32)


@pytest.mark.parametrize(("blob", "chunk"), [(2, 0), (-1, 0), (0, 3), (0, -1), (1, 1)])
def test_no_such_chunk(device: BlobDevice, blob: int, chunk: int) -> None:
    """What is not there is refused by number."""
    with pytest.raises(ConfigError, match="no such"):
        device.chunk_info(blob, chunk)


def test_vector(made: Made, device: BlobDevice) -> None:
    """A vector keeps descriptors of one blob, in order, and knows its size."""
    vector = BlobIoVec(made.infos[0], made.chunks)
    for index, size in ((0, 10), (2, 20)):
        vector.push(BlobIoDesc(made.infos[0], device.chunk_info(0, index), 5, size))
    assert (len(vector), vector.size, [desc.chunkinfo.id for desc in vector]) == (2, 30, [0, 2])
    with pytest.raises(ValueError, match="blob 1 in a vector of blob 0"):
        vector.push(BlobIoDesc(made.infos[1], device.chunk_info(1, 0), 0, 1))


def test_continuous(made: Made, device: BlobDevice) -> None:
    """Two pieces are continuous if they are of one blob, in order, and no further apart than the gap."""
    first, second, third = (BlobIoDesc(made.infos[0], device.chunk_info(0, index), 0, 1) for index in range(3))
    between = second.chunkinfo.compressed_size
    assert first.is_continuous(second, 0)
    assert not second.is_continuous(first, 1 << 20)
    assert first.is_continuous(third, between)
    assert not first.is_continuous(third, between - 1)
    assert not third.is_continuous(BlobIoDesc(made.infos[1], device.chunk_info(1, 0), 0, 1), 1 << 20)


def test_range(made: Made) -> None:
    """A range is the compressed span of its chunks."""
    asked = BlobIoRange.of(made.infos[0], made.chunks, 0, 2)
    assert (asked.blob_offset, asked.blob_size) == (0, int(made.chunks.compressed_size[:3].sum()))
    assert list(asked.rows) == [0, 1, 2]


@given(cuts=st.lists(st.integers(0, 14_100), max_size=6), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scatter(made: Made, device: BlobDevice, cuts: list[int], data: st.DataObject) -> None:
    """Bytes go to the buffers one after the other, however they are cut, and whether or not they are cached."""
    whole = b"".join(CONTENTS[0])
    vector = BlobIoVec(made.infos[0], made.chunks, [0, 1, 2], [0, 0, 0], [5000, 100, 9000])
    edges = [0, *sorted(cuts), len(whole)]
    buffers = [bytearray(b - a) for a, b in pairwise(edges)]
    spare = data.draw(st.integers(0, 3))
    buffers[-1] += bytes(spare)
    assert device.read_to(vector, buffers) == len(whole)
    assert b"".join(buffers) == whole + bytes(spare)


def test_buffers_too_small(made: Made, device: BlobDevice) -> None:
    """Buffers without room for what is asked are refused, and nothing is read."""
    vector = BlobIoVec(made.infos[0], made.chunks, [0], [0], [5000])
    with pytest.raises(ConfigError, match="4999 bytes, 5000"):
        device.read_to(vector, [bytearray(4999)])
    assert not device.all_chunks_ready([vector])


def test_reads_are_recorded(made: Made, device: BlobDevice) -> None:
    """A cold and a warm read are two reads whose books balance: one fetched, one hit."""
    vector = BlobIoVec(made.infos[0], made.chunks, [1], [10], [50])
    for _ in range(2):
        device.read_to(vector, [bytearray(50)])
    recorder = device.cache.log.recorder  # type: ignore[attr-defined]
    ledgers = audit(recorder.table())
    assert (ledgers.asked, ledgers.hit, ledgers.fetched) == (100, 50, 50)


def test_prefetch(made: Made, device: BlobDevice) -> None:
    """A blob range brings the chunks that it touches, a vector brings its own."""
    first, third = (BlobIoVec(made.infos[0], made.chunks, [row], [0], [1]) for row in (0, 2))
    device.prefetch(requests=[BlobPrefetchRequest(made.infos[0].blob_id, 0, 1)])
    device.cache.drain()
    assert device.all_chunks_ready([first])
    assert not device.all_chunks_ready([first, third])
    device.prefetch([third])
    device.cache.drain()
    assert device.all_chunks_ready([first, third])
    with pytest.raises(ConfigError, match="no such blob"):
        device.prefetch(requests=[BlobPrefetchRequest("nobody", 0, 1)])
