"""Events as columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import TraceError
from workbench.view import Run, heat_map, touched
from workbench.view._table import codes, ends, pick, reads_of, request_of, spread, tracks


def test_codes_of_text_in_any_encoding() -> None:
    """Plain, dictionary and chunked text, with dictionaries that differ, give the same positions."""
    plain = pa.chunked_array([["b", "a", None], ["x"]])
    assert codes(plain, ("a", "b")).tolist() == [1, 0, -1, -1]
    mixed = pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()])
    assert codes(mixed, ("a", "b")).tolist() == [1, 0, 1]
    assert codes(pa.chunked_array([], pa.string()), ("a",)).tolist() == []


def test_picked_rows_are_in_order_of_time(small: Run) -> None:
    """Rows logged out of order come back sorted, with their causes as positions."""
    shuffled = small.events.take(pa.array(np.arange(len(small.events))[::-1].copy()))
    assert pick(shuffled, "fetch")["t_ns"].tolist() == [12, 12, 120]
    assert sorted(pick(shuffled, "fetch")["cause"].tolist()) == [0, 1, 4]


def test_reads_take_their_times_from_the_events(small: Run) -> None:
    """A replay's times count, with the programs and thinking of the workload that it replays."""
    assert small.reads is not None
    other = small.reads.set_column(1, "t_ns", pa.array([7_000, 8_000, 9_000]))
    reads, programs = reads_of(Run("replayed", small.events, other))
    assert programs == ["A", "B"]
    assert reads["t_ns"].tolist() == [10, 140, 165]
    assert reads["think_ns"].tolist() == [10, 30, 20]
    assert reads["program"].tolist() == [0, 0, 1]


def test_requests_of_chunks(small: Run) -> None:
    """Each fetched chunk finds its request; one without is an error."""
    requests, fetches = pick(small.events, "request"), pick(small.events, "fetch")
    assert request_of(requests, fetches).tolist() == [0, 0, 1]
    first = {name: column[:1] for name, column in requests.items()}
    with pytest.raises(TraceError, match="without a request"):
        request_of(first, fetches)


def test_touched_chunks_are_those_that_gave_bytes(small: Run) -> None:
    """An amplified chunk counts only once it is hit."""
    assert touched(small.events, 4).tolist() == [True, True, True, False]
    assert touched(small.events.slice(0, 3), 4).tolist() == [True, False, False, False]


def test_a_file_that_repeats_a_chunk(events_of: Callable[[list[dict[str, object]]], pa.Table], hand_made: Any) -> None:
    """A hit counts pieces from its first chunk on, which may be more than there are chunks: no error, no phantom."""
    rows: list[dict[str, object]] = [
        {"kind": "read", "dur_ns": 5, "read_id": 0, "user_bytes": 9},
        {"kind": "hit", "read_id": 0, "chunk": 4, "chunks": 3, "user_bytes": 9},
    ]
    assert touched(events_of(rows), 5).tolist() == [False, False, False, False, True]
    assert heat_map(Run("hole", events_of(rows)), hand_made).png()


def test_spread() -> None:
    """Runs are laid end to end; empty ones leave nothing."""
    which, numbers = spread(np.array([5, 9, 0]), np.array([2, 0, 3]))
    assert which.tolist() == [0, 0, 2, 2, 2]
    assert numbers.tolist() == [5, 6, 0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40))))
def test_tracks_never_overlap(spans: list[tuple[int, int]]) -> None:
    """Two requests on one track follow each other, and no more tracks are used than were busy at once."""
    spans.sort()
    columns = {
        "t_ns": np.array([t for t, _ in spans], np.int64),
        "dur_ns": np.array([d for _, d in spans], np.int64),
    }
    found = tracks(columns)
    for track in set(found.tolist()):
        mine = found == track
        assert (columns["t_ns"][mine][1:] >= ends(columns)[mine][:-1]).all()
    busiest = max((sum(t <= at < t + d for t, d in spans) for at, _ in spans), default=0)
    assert found.max(initial=-1) + 1 == busiest


def test_a_thread_alone_thinks_between_its_reads(events_of: Callable[[list[dict[str, object]]], pa.Table]) -> None:
    """Without a workload each worker is a thread of one program."""
    rows: list[dict[str, object]] = [
        {"kind": "read", "t_ns": 5, "dur_ns": 10, "read_id": 0, "worker": 3},
        {"kind": "read", "t_ns": 9, "dur_ns": 1, "read_id": 1, "worker": 1},
        {"kind": "read", "t_ns": 20, "dur_ns": 1, "read_id": 2, "worker": 3},
    ]
    reads, names = reads_of(Run("alone", events_of(rows)))
    assert names == ["alone"]
    assert reads["thread"].tolist() == [3, 1, 3]
    assert reads["think_ns"].tolist() == [0, 4, 5]
