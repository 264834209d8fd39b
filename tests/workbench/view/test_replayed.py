"""Live and replayed runs are seen alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.replay import Settings, Workload, calibrate, replay
from workbench.trace import Dataset, dataset
from workbench.view import Run, report, summarize, touched


@pytest.fixture(scope="module")
def shipped() -> Dataset:
    """The shipped recording."""
    return dataset("first-light")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amplify_io": 0},
        {"prefetch": "whole blob", "prefetch_workers": 3},
        {"eviction": "sieve", "capacity": 2_000_000},
        {"plan": "reference", "eviction": "lru", "capacity": 4_000_000},
    ],
)
def test_a_summary_of_replayed_events_is_the_result(shipped: Dataset, changes: dict[str, object]) -> None:
    """What is counted from events is what the replay counted for itself, to the nanosecond and the byte."""
    workload = Workload.from_reads(shipped.reads, shipped.image)
    result = replay(workload, None, replace(Settings(), **changes), record=True)  # type: ignore[arg-type]
    found, totals = summarize(result.events(), shipped.reads), result.totals
    assert found.split == result.split
    assert found.time_to_last_read_ns == result.time_to_last_read_ns
    assert {**totals["bytes_by_cause"], "meta": 0} == found.received
    assert found.asked == {kind: totals[f"bytes_{name}"] for kind, name in _PARTS.items()}
    same = ("reads", "bytes_asked", "requests", "evictions", "bytes_evicted", "bytes_decoded", "hit_ratio")
    assert {name: getattr(found, name) for name in same} == {name: totals[name] for name in same}
    assert (found.p50_ns, found.p99_ns, found.chunks_fetched) == (totals["p50_ns"], totals["p99_ns"], totals["fetched"])


_PARTS = {"hit": "hit", "wait": "waited", "fetch": "fetched"}


def test_the_recording_and_its_replay_agree(shipped: Dataset) -> None:
    """Replayed as it was recorded, the shipped run takes the time that was measured, within 5 %."""
    workload = Workload.from_reads(shipped.reads, shipped.image)
    result = replay(workload, None, Settings(cpu=calibrate(shipped.events)), record=True)
    measured, predicted = summarize(shipped.events, shipped.reads), summarize(result.events(), shipped.reads)
    assert predicted.time_to_last_read_ns == pytest.approx(measured.time_to_last_read_ns, rel=0.05)
    chunks = len(shipped.image.chunks)
    assert (touched(result.events(), chunks) == touched(shipped.events, chunks)).all()


def test_both_make_a_report(shipped: Dataset) -> None:
    """A report of a replayed run has the sections of one of a live run."""
    workload = Workload.from_reads(shipped.reads, shipped.image)
    result = replay(workload, None, Settings(), record=True)
    pages = [report(shipped.image, Run("run", events, shipped.reads)) for events in (shipped.events, result.events())]
    assert pages[0].count("<h2>") == pages[1].count("<h2>") == 5
