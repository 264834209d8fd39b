"""Chunks that are read in small pieces: decoded once by a thread that reads nothing else meanwhile."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.cache import FileCache
from storage.codec import buffer
from storage.image.decode import Decoder
from storage.testing.blobs import Made, open_cache
from storage.testing.machine import BLOBS, KINDS

CHUNK, PIECE = 64 << 10, 4 << 10
CHECKED = ("validated", "raw", "encrypted")


@pytest.fixture(params=BLOBS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A blob of 8 chunks of 64 KiB of noise."""
    dice = random.Random(3)
    (tmp_path / "blobs").mkdir()
    return BLOBS[request.param](tmp_path / "blobs", [[dice.randbytes(CHUNK) for _ in range(8)]])


@pytest.fixture(params=CHECKED)
def cache(request: pytest.FixtureRequest, made: Made, tmp_path: Path) -> FileCache:
    """An empty cache."""
    return open_cache(made, tmp_path / "cache", kind=KINDS[request.param])


def read_piece(cache: FileCache, row: int, at: int) -> bytes:
    """4 KiB of a chunk."""
    piece = bytearray(PIECE)
    cache.read([row], [at], [PIECE], [piece])
    return bytes(piece)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Chunks that were verified."""
    rows: list[int] = []
    verify = Decoder.verify
    monkeypatch.setattr(Decoder, "verify", lambda *asked: [rows.append(asked[2]), verify(*asked)])
    return rows


def read_all(cache: FileCache, made: Made) -> None:
    """Every chunk, piece by piece."""
    for row in range(8):
        pieces = [read_piece(cache, row, at) for at in range(0, CHUNK, PIECE)]
        assert b"".join(pieces) == made.contents[row]
    cache.close()


def test_decoded_once(cache: FileCache, made: Made, verified: list[int]) -> None:
    """All pieces of a chunk that is there, one after the other, have it verified once, and are right."""
    cache.fetch(range(8))
    verified.clear()
    read_all(cache, made)
    assert verified == list(range(8))


@pytest.mark.parametrize("made", ["alone"], indirect=True)
def test_not_decoded_after_fetching(cache: FileCache, made: Made, verified: list[int]) -> None:
    """A chunk that was fetched for its first piece is verified for that, and not for the others."""
    read_all(cache, made)
    assert verified == list(range(8))


def test_spoilt_between_reads(cache: FileCache, made: Made) -> None:
    """A chunk whose file is spoilt after it was read is right; fetched again once those buffers were used."""
    cache.fetch(range(8))
    assert read_piece(cache, 7, 0) == made.contents[7][:PIECE]
    path = cache.files[0].path
    path.write_bytes(bytes(path.stat().st_size))
    assert read_piece(cache, 7, PIECE) == made.contents[7][PIECE : 2 * PIECE]
    assert cache.metrics()["entries_count"] == 8
    buffer("decoded", 0)
    assert read_piece(cache, 7, PIECE) == made.contents[7][PIECE : 2 * PIECE]
    assert cache.metrics()["entries_count"] == 9
    cache.close()
