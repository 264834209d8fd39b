"""Compression, digests and checksums: there and back, against other implementations, and corrupt input."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import threading
import zlib

import lz4.block
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from storage.codec import Compressor, Digester, compress, crc32c, decompress_into, digest, digest_all
from storage.errors import ConfigError, FormatError

TEXT = b"".join(f"{number} lazy loading\n".encode() for number in range(3000))
PACKERS = (Compressor.LZ4_BLOCK, Compressor.GZIP, Compressor.ZSTD)
contents = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=40), st.integers(1, 2000)),
)


def back(compressor: Compressor, packed: bytes, size: int) -> bytes:
    """Decompressed into a buffer of that size."""
    target = bytearray(size)
    decompress_into(compressor, memoryview(packed), memoryview(target))
    return bytes(target)


@pytest.mark.parametrize("compressor", Compressor)
@given(data=contents)
def test_there_and_back(compressor: Compressor, data: bytes) -> None:
    """What is compressed decompresses to what it was."""
    assert back(compressor, compress(compressor, data), len(data)) == data


@given(data=contents)
def test_others_read_it(data: bytes) -> None:
    """Another lz4, the gzip module and zstandard's one-shot interface read what we wrote, and we what they wrote."""
    packed = compress(Compressor.LZ4_BLOCK, data)
    assert lz4.block.decompress(packed, uncompressed_size=len(data)) == data
    theirs = lz4.block.compress(data, store_size=False)
    assert back(Compressor.LZ4_BLOCK, theirs, len(data)) == data
    assert gzip.decompress(compress(Compressor.GZIP, data)) == data
    assert back(Compressor.GZIP, gzip.compress(data), len(data)) == data
    assert zstandard.ZstdDecompressor().decompress(compress(Compressor.ZSTD, data)) == data
    for options in ({"write_content_size": False}, {"write_checksum": True, "level": 19}):
        assert back(Compressor.ZSTD, zstandard.ZstdCompressor(**options).compress(data), len(data)) == data


@pytest.mark.parametrize("compressor", Compressor)
@pytest.mark.parametrize("size", [0, 1, len(TEXT) - 1, len(TEXT) + 1, 2 * len(TEXT)])
def test_another_length(compressor: Compressor, size: int) -> None:
    """Content that is not exactly as long as its place is an error."""
    with pytest.raises(FormatError):
        back(compressor, compress(compressor, TEXT), size)


@pytest.mark.parametrize("compressor", Compressor)
@pytest.mark.parametrize("cut", [1, 2, 10, 1000])
def test_cut_short(compressor: Compressor, cut: int) -> None:
    """Content that lacks its end is an error."""
    with pytest.raises(FormatError):
        back(compressor, compress(compressor, TEXT)[:-cut], len(TEXT))


@pytest.mark.parametrize("compressor", PACKERS)
def test_nothing_at_all(compressor: Compressor) -> None:
    """No bytes are no content of any length."""
    with pytest.raises(FormatError):
        back(compressor, b"", 10)


@pytest.mark.parametrize("compressor", PACKERS)
@given(noise=st.binary(min_size=1, max_size=300))
def test_noise(compressor: Compressor, noise: bytes) -> None:
    """Noise decompresses to so many bytes, or is an error of ours: nothing else comes of it."""
    try:
        assert len(back(compressor, noise, 1000)) == 1000
    except FormatError as error:
        assert str(compressor) in error.message


@pytest.mark.parametrize("compressor", PACKERS)
def test_flipped_bits(compressor: Compressor) -> None:
    """Content with a bit flipped is of its length, or an error of ours."""
    packed, dice = bytearray(compress(compressor, TEXT)), random.Random(6)
    for _ in range(300):
        at, bit = dice.randrange(len(packed)), 1 << dice.randrange(8)
        packed[at] ^= bit
        with contextlib.suppress(FormatError):
            assert len(back(compressor, bytes(packed), len(TEXT))) == len(TEXT)
        packed[at] ^= bit
    assert back(compressor, bytes(packed), len(TEXT)) == TEXT


def test_bombs_stay_small() -> None:
    """Content that would be far larger than its place is an error, not memory."""
    bomb = bytes(64 << 20)
    for compressor in PACKERS:
        with pytest.raises(FormatError):
            back(compressor, compress(compressor, bomb), 1000)


@pytest.mark.parametrize("compressor", PACKERS)
def test_threads(compressor: Compressor) -> None:
    """Threads compress and decompress at once, each its own content."""
    failed: list[int] = []

    def work(number: int) -> None:
        data = str(number).encode() * 20_000
        for _ in range(20):
            if back(compressor, compress(compressor, data), len(data)) != data:
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@given(data=contents)
def test_sha256(data: bytes) -> None:
    """SHA-256 is the standard library's, of memory views too."""
    assert digest(Digester.SHA256, data) == digest(Digester.SHA256, memoryview(data)) == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (b"abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ],
)
def test_blake3(data: bytes, expected: str) -> None:
    """BLAKE3 gives the published values."""
    assert digest(Digester.BLAKE3, data).hex() == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c(data: bytes, expected: int) -> None:
    """CRC32C gives the values of RFC 3720, of memory views too; it is not zlib's CRC."""
    assert crc32c(data) == crc32c(memoryview(data)) == expected
    assert expected == 0 or zlib.crc32(data) != expected


def test_names() -> None:
    """Algorithms go by upstream's names; what there is not is refused, with a list of those there are."""
    assert [Compressor.from_name(str(each)) for each in Compressor] == list(Compressor)
    assert [Digester.from_name(str(each)) for each in Digester] == list(Digester)
    with pytest.raises(ConfigError, match="none, lz4_block, gzip, zstd"):
        Compressor.from_name("brotli")
    with pytest.raises(ConfigError, match="blake3, sha256"):
        Digester.from_name("md5")


@pytest.mark.parametrize("digester", Digester)
def test_many_digests(digester: Digester) -> None:
    """Digested one behind the other, each is what it would be alone."""
    datas = [TEXT[:size] for size in (0, 1, 32, 40_000)]
    assert digest_all(digester, datas) == b"".join(digest(digester, data) for data in datas)


def test_crc_of_a_view() -> None:
    """A view's CRC32C is that of its bytes, however long it is."""
    for size in (0, 1, 65_536, 65_537, 200_000):
        data = (TEXT * 5)[:size]
        assert crc32c(memoryview(bytearray(data))) == crc32c(data)
