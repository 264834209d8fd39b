"""The device and its views: upstream's names over rows of the chunk table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.cache import FileCache
from storage.device import BlobChunkInfo, BlobDevice, BlobIoDesc, BlobIoRange, BlobIoVec, BlobPrefetchRequest
from storage.errors import ConfigError
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import ready_rows

SIZES = ([5000, 100, 4096, 70_000], [1, 9000])


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Two blobs of four and of two chunks of noise."""
    (tmp_path / "blobs").mkdir()
    dice = np.random.default_rng(9)
    return make_blobs(tmp_path / "blobs", [[dice.bytes(size) for size in sizes] for sizes in SIZES])


@pytest.fixture
def cache(made: Made, tmp_path: Path) -> Iterator[FileCache]:
    """Their cache, empty."""
    opened = open_cache(made, tmp_path / "cache")
    yield opened
    opened.close()


@pytest.fixture
def device(made: Made, cache: FileCache) -> BlobDevice:
    """The device over it."""
    return BlobDevice(made.infos, made.blobs, made.chunks, cache)


def vector(made: Made, blob: int, *segments: tuple[int, int, int]) -> BlobIoVec:
    """IO on (chunk row, offset, size) each."""
    iovec = BlobIoVec(made.infos[blob], made.chunks)
    for row, offset, size in segments:
        iovec.push(BlobIoDesc(made.infos[blob], BlobChunkInfo(made.chunks, row), offset, size))
    return iovec


def test_chunk_info(made: Made, device: BlobDevice) -> None:
    """A chunk is found by blob and index, and is what its row says."""
    chunk = device.chunk_info(0, 2)
    assert (chunk.row, chunk.id, chunk.blob_index) == (2, 2, 0)
    assert (chunk.compressed_offset, chunk.compressed_size, chunk.compressed_end) == (5100, 4096, 9196)
    assert (chunk.uncompressed_offset, chunk.uncompressed_size, chunk.uncompressed_end) == (12_288, 4096, 16_384)
    assert (chunk.is_compressed, chunk.has_crc32, chunk.crc32) == (False, False, 0)
    assert chunk.chunk_id == made.chunks.digest[2].tobytes()
    assert (device.chunk_info(1, 1).row, device.chunk_info(1, 1).id) == (5, 1)


@pytest.mark.parametrize(("blob", "index"), [(-1, 0), (2, 0), (0, 4), (0, -1), (1, 2)])
def test_no_such_chunk(blob: int, index: int, device: BlobDevice) -> None:
    """A blob or a chunk that there is not is refused."""
    with pytest.raises(ConfigError, match="no such"):
        device.chunk_info(blob, index)


def test_vectors(made: Made) -> None:
    """A vector is a list of descriptors, adds up their sizes, and is of one blob only."""
    iovec = vector(made, 0, (0, 10, 20), (3, 0, 70_000))
    assert (len(iovec), iovec.size) == (2, 70_020)
    assert [(desc.chunkinfo.row, desc.offset, desc.size) for desc in iovec] == [(0, 10, 20), (3, 0, 70_000)]
    assert iovec[1].chunkinfo.uncompressed_size == 70_000
    with pytest.raises(ValueError, match="blob 1 in a vector of blob 0"):
        iovec.push(BlobIoDesc(made.infos[1], BlobChunkInfo(made.chunks, 4), 0, 1))


def test_continuous(made: Made) -> None:
    """Two descriptors are continuous when the second begins within a gap after the first, in the same blob."""
    zero, one, two, other = (
        BlobIoDesc(made.infos[made.chunks.blob[row]], BlobChunkInfo(made.chunks, row), 0, 1) for row in (0, 1, 2, 4)
    )
    assert zero.is_continuous(one, 0)
    assert not zero.is_continuous(two, 99)
    assert zero.is_continuous(two, 100)
    assert not one.is_continuous(zero, 1 << 30)
    assert not one.is_continuous(other, 1 << 30)


def test_range(made: Made) -> None:
    """Neighbouring chunks as one request."""
    whole = BlobIoRange.of(made.infos[0], made.chunks, 1, 3)
    assert (whole.blob_offset, whole.blob_size, whole.rows) == (5000, 74_196, range(1, 4))


def test_scatter(made: Made, device: BlobDevice) -> None:
    """Bytes go to the buffers in order, wherever chunks and buffers end; what is left of them is not touched."""
    iovec = vector(made, 0, (0, 4000, 1000), (1, 0, 100), (2, 5, 10))
    want = made.contents[0][4000:5000] + made.contents[1] + made.contents[2][5:15]
    for sizes in ([1110], [1, 1109], [1000, 100, 10], [0, 500, 0, 600, 10], [1110, 7]):
        buffers = [bytearray(size) for size in sizes]
        assert device.read_to(iovec, buffers) == 1110
        assert b"".join(buffers) == want + bytes(sum(sizes) - 1110)


@pytest.mark.parametrize("warm", [False, True])
def test_buffers_too_small(warm: bool, made: Made, device: BlobDevice) -> None:
    """Buffers that cannot hold it are refused, before anything is read into them."""
    if warm:
        device.read_to(vector(made, 0, (0, 0, 5000)), [bytearray(5000)])
    buffers = [bytearray(4999)]
    with pytest.raises(ConfigError, match="the buffers hold 4999 bytes, 5000 are to be read"):
        device.read_to(vector(made, 0, (0, 0, 5000)), buffers)
    assert buffers == [bytearray(4999)]


def test_all_ready(made: Made, device: BlobDevice) -> None:
    """Vectors are ready when every chunk of them is."""
    one, both = vector(made, 0, (0, 0, 1)), vector(made, 0, (0, 0, 1), (1, 0, 1))
    assert not device.all_chunks_ready([one])
    device.read_to(one, [bytearray(1)])
    assert device.all_chunks_ready([one])
    assert not device.all_chunks_ready([one, both])


@pytest.mark.parametrize(
    ("offset", "length", "rows"),
    [(0, 1, [0]), (4999, 2, [0, 1]), (5000, 100, [1]), (0, 1 << 40, [0, 1, 2, 3]), (5000, 0, []), (1 << 40, 5, [])],
)
def test_prefetch_by_range(
    offset: int, length: int, rows: list[int], made: Made, device: BlobDevice, cache: FileCache
) -> None:
    """A prefetch of a range of the compressed blob fetches the chunks that it touches."""
    device.prefetch(requests=[BlobPrefetchRequest(made.infos[0].blob_id, offset, length)])
    cache.drain()
    assert ready_rows(cache) == rows


def test_prefetch_by_vector(made: Made, device: BlobDevice, cache: FileCache) -> None:
    """A prefetch of vectors fetches their chunks, of any blob; one of an unknown blob is refused."""
    device.prefetch([vector(made, 1, (5, 0, 1)), vector(made, 0, (1, 0, 1))])
    cache.drain()
    assert ready_rows(cache) == [1, 5]
    with pytest.raises(ConfigError, match="no such blob"):
        device.prefetch(requests=[BlobPrefetchRequest("another", 0, 1)])
