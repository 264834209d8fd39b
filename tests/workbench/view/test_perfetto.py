"""The trace to zoom into."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.view import Run, perfetto, write_perfetto

FIELDS = {
    "X": {"name": str, "cat": str, "ph": str, "ts": float, "dur": float, "pid": int, "tid": int, "args": dict},
    "C": {"name": str, "ph": str, "ts": float, "pid": int, "tid": int, "args": dict},
    "M": {"name": str, "ph": str, "pid": int, "tid": int, "args": dict},
}


def of(trace: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    """Events of one phase."""
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def test_every_event_has_the_fields_of_its_phase(make: Callable[..., Run], tmp_path: Path) -> None:
    """What is written is JSON in the object format, each event with all fields of its phase and no other."""
    trace = json.loads(write_perfetto(tmp_path / "trace.json", make()).read_text())
    assert trace["displayTimeUnit"] == "ms"
    for event in trace["traceEvents"]:
        assert {name: type(value) for name, value in event.items()} == FIELDS[event["ph"]]
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0


def test_slices_of_a_track_nest(make: Callable[..., Run]) -> None:
    """On one track a slice lies within another or beside it: else the viewer cannot draw it."""
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for event in of(perfetto(make(seed=3)), "X"):
        tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for slices in tracks.values():
        open_: list[float] = []
        for start, end in sorted(slices, key=lambda span: (span[0], -span[1])):
            while open_ and open_[-1] <= start + 1e-6:
                open_.pop()
            assert not open_ or end <= open_[-1] + 1e-6
            open_.append(end)


def test_slices_of_a_small_run(small: Run) -> None:
    """Reads bear their paths on their program's thread; requests lie on connections; times are microseconds."""
    trace = perfetto(small)
    names = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in of(trace, "M")}
    assert names["process_name", 2, 0] == "A"
    assert names["process_name", 3, 0] == "B"
    assert names["thread_name", 1, 0] == "connection 1"
    slices = [(e["name"], e["cat"], e["pid"], e["tid"], e["ts"], e["dur"]) for e in of(trace, "X")]
    assert ("a.py", "read", 2, 0, 0.0, 0.1) in slices
    assert ("wait", "wait", 3, 0, 0.156, 0.03) in slices
    assert ("decode", "decode", 2, 0, 0.062, 0.015) in slices
    assert ("demand + amplify", "request", 1, 0, 0.002, 0.06) in slices
    assert ("first byte", "request", 1, 0, 0.002, 0.04) in slices
    assert ("prefetch", "request", 1, 0, 0.11, 0.07) in slices


def test_counters(small: Run) -> None:
    """Bytes received only grow; bytes in the cache fall with an eviction."""
    counted: dict[str, list[int]] = defaultdict(list)
    for event in of(perfetto(small), "C"):
        counted[event["name"]].append(event["args"]["bytes"])
    assert counted == {"bytes received": [300, 450], "bytes in cache": [900, 1200, 700]}
