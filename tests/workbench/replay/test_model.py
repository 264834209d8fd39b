"""The engine against a second one that was written from its description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.plan import Segments
from tests.workbench.replay._cases import cases
from tests.workbench.replay._model import Model
from workbench.replay import Result, Settings, Workload, replay

COUNTED = (
    "bytes_hit",
    "bytes_waited",
    "bytes_fetched",
    "hits",
    "waits",
    "fetched",
    "bytes_decoded",
    "evictions",
    "failures",
    "retries",
)


def assert_same(result: Result, model: Model) -> None:
    """Every time, every request and every count of the two is the same."""
    reads = result.reads
    parts = ("start", "dur", "rtt", "bandwidth", "waiting", "late")
    times = np.stack([reads[f"{part}_ns"] for part in parts], axis=1)
    np.testing.assert_array_equal(times, model.times)
    ids = np.append(result.workload.read_id, -1)
    expected = [{**row, "read_id": ids[row["read"]]} for row in model.requests[model.cut_request :]]
    for mine, other in zip(result.requests.to_pylist(), expected, strict=True):
        assert mine == {name: other[name] for name in mine}
    assert {name: result.totals[name] for name in COUNTED} == {name: model.totals[name] for name in COUNTED}
    unread = sum(sum(client.unread.values()) for client in model.clients)
    assert result.totals["wasted_prefetch_bytes"] == model.totals["wasted"] + unread
    used, prefetched, late = (model.totals[name] for name in ("used", "prefetched", "late"))
    assert result.totals["prefetch_accuracy"] == (used / prefetched if prefetched else 0)
    assert result.totals["prefetch_lateness"] == (min(late / used, 1) if used else 0)
    assert result.totals["prefetch_late_ns"] == model.totals["late_ns"]
    spent = [max(model.ended[program] - max(began, model.cut), 0) for program, began in model.began.items()]
    assert result.time_to_last_read_ns == sum(spent)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_equals_the_model(case: tuple[Workload, Settings]) -> None:
    """Whatever the threads, jitter, prefetch, amplification, eviction and plan: bit for bit the same outcome."""
    workload, circumstances = case
    assert_same(replay(workload, None, circumstances), Model(workload, circumstances).run())


@settings(max_examples=60, deadline=None)
@given(cases())
def test_recording_changes_nothing(case: tuple[Workload, Settings]) -> None:
    """Recording goes through the planner for every read; the fast path for ready ones gives the same."""
    workload, circumstances = case
    fast, slow = replay(workload, None, circumstances), replay(workload, None, circumstances, record=True)
    assert fast.reads.equals(slow.reads)
    assert fast.requests.equals(slow.requests)
    assert fast.totals == slow.totals


@settings(max_examples=100, deadline=None)
@given(cases(calm=True, prefetch="none", amplify_io=0, plan="exact"), st.integers(1, 3))
def test_a_chunk_at_a_time(case: tuple[Workload, Settings], most: int) -> None:
    """Reads that nobody notices go without a step of the clock between them: with the same outcome as the others."""
    workload, circumstances = case
    first = np.minimum(workload.first[:-1] + most, workload.first[1:])
    rows = np.concatenate([np.arange(*bounds) for bounds in zip(workload.first[:-1], first, strict=True)]).astype(int)
    counts = first - workload.first[:-1]
    short = replace(
        workload,
        first=np.append(0, np.cumsum(counts)),
        segments=Segments(*(column[rows] for column in workload.segments)),
    )
    assert_same(replay(short, None, circumstances), Model(short, circumstances).run())
