"""Chunks that are read in small pieces: decoded once a thread, and again when the file was written to."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from storage.cache import FileCache
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
    """A cache that holds all of it, written a while ago."""
    cache = open_cache(made, tmp_path / "cache", kind=KINDS[request.param])
    cache.fetch(range(8))
    long_ago = time.time() - 10
    os.utime(cache.files[0].path, (long_ago, long_ago))
    return cache


def read_piece(cache: FileCache, row: int, at: int) -> bytes:
    """4 KiB of a chunk."""
    buffer = bytearray(PIECE)
    cache.read([row], [at], [PIECE], [buffer])
    return bytes(buffer)


def test_decoded_once(cache: FileCache, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pieces of a chunk, one after the other, have it verified once, and are right."""
    verified: list[int] = []
    verify = Decoder.verify
    monkeypatch.setattr(Decoder, "verify", lambda *asked: [verified.append(asked[2]), verify(*asked)])
    for row in range(8):
        pieces = [read_piece(cache, row, at) for at in range(0, CHUNK, PIECE)]
        assert b"".join(pieces) == made.contents[row]
    assert verified == list(range(8))
    cache.close()


def test_spoilt_between_pieces(cache: FileCache, made: Made) -> None:
    """A chunk whose file is spoilt while it is read in pieces is fetched again at the next piece, and right."""
    assert read_piece(cache, 5, 0) == made.contents[5][:PIECE]
    path = cache.files[0].path
    path.write_bytes(bytes(path.stat().st_size))
    assert read_piece(cache, 5, PIECE) == made.contents[5][PIECE : 2 * PIECE]
    assert cache.metrics()["entries_count"] == 9
    assert path.read_bytes().strip(b"\0")
    cache.close()
