"""Each chunk map, alone and under a cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cache import CacheKind
from storage.cache.maps import ChunkMap, DigestedChunkMap, IndexedChunkMap, NoopChunkMap, RangeMap
from storage.errors import CacheError, ConfigError
from storage.testing.chunk_maps import CHUNKS, ChunkMapConformance, InFlightConformance

PAGE = 4096


class TestIndexed(ChunkMapConformance):
    """A bit a chunk."""

    def open(self, folder: Path) -> ChunkMap:
        """By upstream's name."""
        return IndexedChunkMap(folder / "b.blob.data", CHUNKS)


class TestDigested(ChunkMapConformance):
    """A set of digests."""

    keeps = False

    def open(self, folder: Path) -> ChunkMap:
        """Of chunks that all differ."""
        return DigestedChunkMap(np.arange(CHUNKS * 32, dtype=np.uint8).reshape(CHUNKS, 32), np.arange(CHUNKS) * 4096)


class TestRange(ChunkMapConformance):
    """A bit a page."""

    def open(self, folder: Path) -> ChunkMap:
        """Of chunks of one to three pages."""
        sizes = np.arange(CHUNKS) % 3 * PAGE + 100
        pages = -(-sizes // PAGE)
        return RangeMap(folder / "b.blob.data", (np.cumsum(pages) - pages) * PAGE, sizes)


class TestInFlightIndexed(InFlightConformance):
    """The default."""


class TestInFlightDigested(InFlightConformance):
    """What is in the file is found there again."""

    kind = CacheKind(chunk_map="digested")


class TestInFlightRange(InFlightConformance):
    """By pages."""

    kind = CacheKind(chunk_map="range")


@pytest.mark.parametrize("cached", [False, True])
def test_noop(cached: bool) -> None:
    """No map says what it was made to say, whatever it is told."""
    opened = NoopChunkMap(CHUNKS, cached)
    opened.set_ready([1, 2])
    opened.clear(3)
    assert opened.ready.tolist() == [cached] * CHUNKS
    opened.close()


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=20),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 19)), max_size=20),
)
def test_chunks_that_share_pages(
    sizes: list[int], steps: list[tuple[bool, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A map of ranges calls no chunk ready that was not marked, and once all are marked, all of them."""
    data = tmp_path_factory.mktemp("range") / "b.blob.data"
    offsets, lengths = np.cumsum([0, *sizes[:-1]]), np.array(sizes)
    opened, ready = RangeMap(data, offsets, lengths), np.zeros(len(sizes), np.bool_)
    for marked, number in steps:
        row = number % len(sizes)
        ready[row] = marked
        if marked:
            opened.set_ready([row])
        else:
            opened.clear(row)
    opened.close()
    again = RangeMap(data, offsets, lengths)
    assert not (again.ready & ~ready).any()
    again.set_ready(range(len(sizes)))
    again.close()
    last = RangeMap(data, offsets, lengths)
    assert last.ready.all()
    last.close()


def test_not_a_map(tmp_path: Path) -> None:
    """A file of another length, or that begins otherwise, is refused by its path; a kind of map by its name."""
    path = tmp_path / "b.blob.data.range_map"
    for content in (b"x", b"x" * 4097):
        path.write_bytes(content)
        with pytest.raises(CacheError) as refused:
            RangeMap(tmp_path / "b.blob.data", np.array([0]), np.array([5]))
        assert refused.value.where["path"] == path
    with pytest.raises(ConfigError, match="no chunk map is called 'bloom'"):
        CacheKind(chunk_map="bloom")
