"""What every test of a cache does: read chunks, and look whether anything was left behind."""

from __future__ import annotations

from collections.abc import Sequence

from storage.cache import FileCache
from storage.plan import ABSENT, BLOCKED, LEAVING, READY
from storage.testing.blobs import Made

__all__ = ["Segment", "assert_at_rest", "expected", "read_chunks", "read_segments", "ready_rows"]

Segment = tuple[int, int, int]


def read_segments(cache: FileCache, segments: Sequence[Segment]) -> bytes:
    """One read of (chunk row, offset, length) each."""
    rows, offsets, lengths = (list(column) for column in zip(*segments, strict=True))
    buffer = bytearray(sum(lengths))
    assert cache.read(rows, offsets, lengths, [buffer]) == len(buffer)
    return bytes(buffer)


def expected(made: Made, segments: Sequence[Segment]) -> bytes:
    """What such a read must return."""
    return b"".join(made.contents[row][offset : offset + length] for row, offset, length in segments)


def read_chunks(cache: FileCache, made: Made, rows: Sequence[int]) -> None:
    """Read whole chunks, all in one, and see that they are right."""
    segments = [(row, 0, len(made.contents[row])) for row in rows]
    assert read_segments(cache, segments) == expected(made, segments)


def ready_rows(cache: FileCache) -> list[int]:
    """Rows of the chunks that are in the cache."""
    return [row for row, status in enumerate(cache.decider.state.status) if status == READY]


def assert_at_rest(cache: FileCache) -> None:
    """Nothing is in flight, pinned or claimed, nobody is blocked, and the bytes stored are those that are ready."""
    state, sizes = cache.decider.state, cache.decider.layout.size
    assert set(state.status) <= {ABSENT, READY}
    assert set(state.pins) == {0}
    assert set(state.owner) == {-1}
    assert state.counters[BLOCKED] == state.counters[LEAVING] == 0
    assert cache.stored == sum(sizes[row] for row in ready_rows(cache))
