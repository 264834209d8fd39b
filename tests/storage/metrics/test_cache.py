"""What a cache counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storage.cache import CacheKind
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import read_chunks

KEYS = ("total", "partial_hits", "whole_hits", "entries_count")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Eight chunks of 9,000 bytes of noise."""
    (tmp_path / "blobs").mkdir()
    return make_blobs(tmp_path / "blobs", [[np.random.default_rng(n).bytes(9000) for n in range(8)]])


def test_hits(made: Made, tmp_path: Path) -> None:
    """A miss is a read; a hit is one for each range: a read around a missing chunk has two. Asking changes nothing."""
    cache = open_cache(made, tmp_path / "cache")
    read_chunks(cache, made, [1])
    read_chunks(cache, made, [3])
    assert [cache.metrics()[key] for key in KEYS] == [2, 0, 0, 2]
    read_chunks(cache, made, [1])
    read_chunks(cache, made, [1, 3])
    assert [cache.metrics()[key] for key in KEYS] == [4, 3, 0, 2]
    read_chunks(cache, made, [1, 2, 3])
    assert [cache.metrics()[key] for key in KEYS] == [cache.metrics()[key] for key in KEYS] == [5, 5, 0, 3]
    assert not cache.metrics()["data_all_ready"]
    read_chunks(cache, made, range(8))
    assert cache.metrics()["data_all_ready"]
    assert cache.metrics()["underlying_files"] == [f"{made.infos[0].blob_id}.blob.data"]
    cache.close()


@pytest.mark.parametrize("kind", [CacheKind(validate=True), CacheKind(compressed=True)])
def test_whole_hits(kind: CacheKind, made: Made, tmp_path: Path) -> None:
    """What is decoded or verified on each read is a whole hit, chunk by chunk."""
    cache = open_cache(made, tmp_path / "cache", kind=kind)
    for _ in range(2):
        read_chunks(cache, made, [2, 3])
    assert [cache.metrics()[key] for key in KEYS] == [2, 0, 2, 2]
    cache.close()


def test_prefetch(made: Made, tmp_path: Path) -> None:
    """What is fetched ahead is counted in chunks, requests, bytes and time."""
    cache = open_cache(made, tmp_path / "cache")
    cache.prefetch(range(8))
    cache.drain()
    said = cache.metrics()
    assert (said["prefetch_unmerged_chunks"], said["prefetch_requests_count"], said["prefetch_workers"]) == (8, 1, 1)
    assert said["prefetch_data_amount"] == made.infos[0].compressed_size
    began, ended = (
        said[f"prefetch_{end}_time_secs"] * 1000 + said[f"prefetch_{end}_time_millis"] for end in ("begin", "end")
    )
    assert 0 < began <= ended
    assert [said[key] for key in KEYS] == [0, 0, 0, 8]
    cache.close()
