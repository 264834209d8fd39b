"""From a recorded trace to what the engine takes, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.errors import ConfigError, PathError, TraceError
from storage.plan import Layout
from workbench.replay import Settings, Workload, replay
from workbench.replay._settings import bind_prefetch


class Chunks:
    """Three chunks of 10 bytes."""

    blob = np.zeros(3, np.int32)
    compressed_offset = np.array([0, 5, 10])
    compressed_size = np.full(3, 5)
    uncompressed_offset = np.array([0, 10, 20])
    uncompressed_size = np.full(3, 10)
    has_digest = np.ones(3, bool)
    has_crc32c = np.zeros(3, bool)


class TwoFiles:
    """File a lies in chunks 0 and 1, file b in chunk 2."""

    chunks: Any = Chunks()

    def lookup(self, path: str | bytes, /) -> int:
        """The row of a file."""
        if path not in ("a", "b"):
            raise PathError("no such file in the image", path=path)
        return 0 if path == "a" else 1

    def segments(self, row: int, offset: int, length: int, /) -> tuple[list[int], list[int], list[int]]:
        """Chunks of a range."""
        first, end = (0, 20) if row == 0 else (20, 30)
        parts = []
        at, stop = first + offset, min(first + offset + length, end)
        while at < stop:
            take = min(10 - at % 10, stop - at)
            parts.append((at // 10, at % 10, take))
            at += take
        chunk, inside, size = (list(column) for column in zip(*parts, strict=True)) if parts else ([], [], [])
        return chunk, inside, size


def trace(**columns: list[Any]) -> pa.Table:
    """Three reads: one of b by a second program, two of a by the first; not in order."""
    return pa.table(
        {
            "read_id": [7, 5, 9],
            "t_ns": [30, 20, 10],
            "think_ns": [1, 2, 3],
            "thread": [1, 0, 0],
            "program": ["two", "one", "one"],
            "path": ["b", "a", "a"],
            "offset": [0, 5, 0],
            "length": [10, 10, 0],
        }
        | columns
    )


def test_order_and_segments() -> None:
    """Reads are sorted by program, thread and time; each knows its chunks; a read of nothing has none."""
    workload = Workload.from_reads(trace(), TwoFiles())
    assert workload.programs == ("two", "one")
    assert workload.read_id.tolist() == [7, 9, 5]
    assert workload.first.tolist() == [0, 1, 1, 3]
    assert [column.tolist() for column in workload.segments] == [[2, 0, 1], [0, 5, 0], [10, 5, 5]]
    assert workload.thread_first.tolist() == [0, 1, 3]
    assert workload.program_first.tolist() == [0, 1, 2]
    assert workload.touched_bytes == 30
    assert workload.chunks_of(1).tolist() == [0, 1]
    assert repr(workload) == "Workload(3 reads, 2 threads, programs two, one; 0.0 MB asked of 0.0 MB)"


def test_no_reads() -> None:
    """An empty trace is a workload that takes no time."""
    result = replay(Workload.from_reads(trace().slice(0, 0), TwoFiles()), TwoFiles())
    assert (result.time_to_last_read_ns, result.totals["reads"], result.totals["p99_ns"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"length": [11, 1, 0]}, TraceError, r"past the end of a file of this image \(path b, offset 0\)"),
        ({"path": ["c", "a", "a"]}, PathError, r"no such file in the image \(path c\)"),
    ],
)
def test_foreign_trace(columns: dict[str, list[Any]], error: type[Exception], message: str) -> None:
    """A trace of another tree is refused, with the file that does not fit."""
    with pytest.raises(error, match=message):
        Workload.from_reads(trace(**columns), TwoFiles())


def test_no_trace() -> None:
    """A table of something else is refused, with what it lacks."""
    with pytest.raises(TraceError, match=r"no trace of reads: think_ns, thread missing \(field think_ns\)"):
        Workload.from_reads(trace().drop_columns(["think_ns", "thread"]), TwoFiles())


def test_other_layout() -> None:
    """A workload laid over one image is not replayed as if on another."""
    workload = Workload.from_reads(trace(), TwoFiles())
    other = Layout(*(column + 1 for column in workload.layout))
    with pytest.raises(TraceError, match="laid over another image"):
        replay(workload, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"plan": "nydus"}, "no plan 'nydus'; there are exact, reference"),
        ({"capacity": -1}, r"cannot be negative \(field capacity\)"),
        ({"amplify_io": -1}, r"cannot be negative \(field amplify_io\)"),
        ({"eviction": "mru"}, "no eviction policy 'mru'"),
        ({"prefetch": "all"}, "no prefetch 'all'; there are none, first program, whole blob"),
        ({"prefetch": [3]}, "names a chunk that the image does not have"),
        ({"prefetch": [-1]}, "names a chunk that the image does not have"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], message: str) -> None:
    """Settings that name what there is not are refused, with what there is."""
    with pytest.raises(ConfigError, match=message):
        replay(Workload.from_reads(trace(), TwoFiles()), None, Settings(**wrong))


@pytest.mark.parametrize(
    ("prefetch", "rows"),
    [(None, []), ("none", []), ("first program", [2]), ("whole blob", [0, 1, 2]), ([1, 0], [1, 0])],
)
def test_prefetch_lists(prefetch: Any, rows: list[int]) -> None:
    """What the names of prefetch lists stand for; a list, or an array, is taken as it is."""
    workload = Workload.from_reads(trace(), TwoFiles())
    assert bind_prefetch(Settings(prefetch=prefetch), workload).rows.tolist() == rows
    assert bind_prefetch(Settings(prefetch=rows), workload).rows.tolist() == rows
