"""The numbers of a run."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from storage.errors import IntegrityError, TraceError
from storage.events import EVENTS
from workbench.view import Run, summarize


def test_numbers_of_a_small_run(small: Run) -> None:
    """Every number of a run counted by hand comes out."""
    found = summarize(small.events, small.reads, "small")
    assert (found.reads, found.bytes_asked, found.requests, found.chunks_fetched) == (3, 1200, 2, 3)
    assert found.asked == {"hit": 400, "wait": 300, "fetch": 500}
    assert found.received == {"demand": 200, "amplify": 100, "gap": 0, "refetch": 0, "prefetch": 150, "meta": 0}
    assert (found.bytes_received, found.bytes_decoded) == (450, 1200)
    assert (found.evictions, found.bytes_evicted) == (1, 500)
    assert found.time_to_last_read_ns == 215
    assert found.split == {"rtt": 40, "bandwidth": 20, "waiting": 30, "decode": 65, "think": 60}
    assert (found.p50_ns, found.p99_ns) == (50, 100)
    assert found.hit_ratio == pytest.approx(1 / 3)
    assert found.read_amplification == 1.0


def test_without_a_workload_the_first_thinking_is_unknown(small: Run) -> None:
    """Events alone know one program, whose time begins with its first read."""
    found = summarize(small.events)
    assert found.time_to_last_read_ns == 205
    assert found.split == {"rtt": 40, "bandwidth": 20, "waiting": 30, "decode": 65, "think": 50}


def test_only_the_thread_that_ended_last_is_split(events_of: Callable[[list[dict[str, object]]], pa.Table]) -> None:
    """What another thread waited for is hidden behind the thread that read last."""
    served = {"kind": "hit", "chunk": 0, "chunks": 1, "user_bytes": 1}
    rows = [
        {"kind": "read", "t_ns": 0, "dur_ns": 90, "read_id": 0, "user_bytes": 1, "worker": 0},
        {"kind": "read", "t_ns": 10, "dur_ns": 30, "read_id": 1, "user_bytes": 1, "worker": 1},
        {"kind": "read", "t_ns": 60, "dur_ns": 40, "read_id": 2, "user_bytes": 1, "worker": 1},
        served | {"kind": "wait", "read_id": 0, "dur_ns": 80},
        served | {"read_id": 1},
        served | {"read_id": 2},
    ]
    found = summarize(events_of(rows))
    assert found.split == {"rtt": 0, "bandwidth": 0, "waiting": 0, "decode": 70, "think": 30}


@given(seed=st.integers(0, 2**16), window=st.sampled_from([0, 1 << 17, 1 << 20]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_parts_sum_to_the_whole(make: Callable[..., Run], seed: int, window: int) -> None:
    """The split sums to the time, both ledgers to their totals, whatever the run."""
    run = make(seed=seed, window=window, chunks=60, reads=45)
    found = summarize(run.events, run.reads)
    last = max(pc.add(run.reads["t_ns"], run.reads["dur_ns"]).to_pylist())
    assert found.time_to_last_read_ns == sum(found.split.values()) == last
    assert sum(found.asked.values()) == found.bytes_asked
    requests = run.events.filter(pc.equal(run.events["kind"], "request"))
    assert found.bytes_received == pc.sum(requests["length"]).as_py()
    assert all(part >= 0 for part in found.split.values())


def test_nothing_happened() -> None:
    """A run without events has only zeros."""
    found = summarize(EVENTS.empty_table())
    assert (found.reads, found.time_to_last_read_ns, found.hit_ratio, found.read_amplification) == (0, 0, 0.0, 0.0)


def test_ledgers_that_do_not_balance_are_refused(small: Run) -> None:
    """A read that got more bytes than anything gave it is an error, not a number."""
    events = small.events.filter(pc.not_equal(small.events["kind"], "hit"))
    with pytest.raises(IntegrityError, match="not the sum"):
        summarize(events)


def test_another_workload_is_refused(small: Run) -> None:
    """A read that the workload does not know is an error."""
    assert small.reads is not None
    with pytest.raises(TraceError, match="not of this workload"):
        summarize(small.events, small.reads.slice(1))


def test_one_screen(make: Callable[..., Run]) -> None:
    """The summary fits 80 columns by 24 lines, and says what the issue asks for."""
    run = make()
    out = io.StringIO()
    Console(file=out, width=80, height=24).print(summarize(run.events, run.reads, "first light"))
    lines = out.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for word in ("round trips", "hit ratio", "amplify", "prefetch", "120 reads", "99 % within", "amplified"):
        assert word in out.getvalue()


def test_json_and_html(small: Run) -> None:
    """A summary goes through JSON, derived numbers included, and shows its figures in a notebook."""
    found = summarize(small.events, small.reads)
    known = json.loads(json.dumps(found.to_dict()))
    assert known["bytes_received"] == 450
    assert known["split"]["rtt"] == 40
    assert "<b>215 ns</b> to the last read" in found._repr_html_()
