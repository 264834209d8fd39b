"""A run as a trace to zoom into: the Trace Event format that ui.perfetto.dev and chrome://tracing open.

Source: "Trace Event Format", Google, 2016 (phases X, C and M).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from workbench.view._style import CAUSES
from workbench.view._table import Columns, Run, ends, origin, pick, reads_of, request_of, tracks

__all__ = ["perfetto", "write_perfetto"]

_BACKEND: Final = 1
_FIRST_PROGRAM: Final = 2
_NESTED: Final = ("wait", "decode", "persist")

Slice = dict[str, Any]


def perfetto(run: Run) -> dict[str, Any]:
    """The run in Chrome's Trace Event format, ready for `json.dumps`.

    Each program is a process and each of its threads a track of reads, in which what they waited on, decoded and
    stored is nested. The backend is a process of its own: one track for each connection that was busy at once, and
    counters of the bytes that came and that are in the cache. Times are microseconds from the first event.
    """
    slices = [*_programs(run), *_connections(run.events), *_counters(run.events)]
    return {"traceEvents": slices, "displayTimeUnit": "ms", "otherData": {"run": run.name}}


def write_perfetto(path: Path | str, run: Run) -> Path:
    """Write `perfetto` to a file, and return its path."""
    target = Path(path)
    target.write_text(json.dumps(perfetto(run), separators=(",", ":")), encoding="utf-8")
    return target


def _programs(run: Run) -> Iterator[Slice]:
    reads, names = reads_of(run)
    pids = reads["program"] + _FIRST_PROGRAM
    for i, name in enumerate(names):
        yield _named("process_name", name, i + _FIRST_PROGRAM)
    for pid, thread in sorted({*zip(pids.tolist(), reads["thread"].tolist(), strict=True)}):
        yield _named("thread_name", f"thread {thread}", pid, thread)
    home = dict(zip(reads["read_id"].tolist(), zip(pids.tolist(), reads["thread"].tolist(), strict=True), strict=True))
    paths = _paths(run)
    start = origin(run.events)
    for kind in ("read", *_NESTED):
        rows = pick(run.events, kind)
        for row in _rows(rows):
            if row["read_id"] not in home:
                continue
            pid, tid = home[row["read_id"]]
            name = paths.get(row["read_id"], "read") if kind == "read" else kind
            yield _slice(name, kind, row, start, pid, tid)


def _connections(events: pa.Table) -> Iterator[Slice]:
    requests = pick(events, "request")
    start = origin(events)
    yield _named("process_name", "backend", _BACKEND)
    lanes = tracks(requests)
    for lane in range(int(lanes.max(initial=-1)) + 1):
        yield _named("thread_name", f"connection {lane + 1}", _BACKEND, lane)
    for row, lane, causes in zip(_rows(requests), lanes.tolist(), _causes(events, requests), strict=True):
        yield _slice(" + ".join(causes) or "request", "request", row, start, _BACKEND, lane)
        if row["ttfb_ns"]:
            yield _slice("first byte", "request", row | {"dur_ns": row["ttfb_ns"]}, start, _BACKEND, lane)


def _causes(events: pa.Table, requests: Columns) -> list[list[str]]:
    """For each request, why it was made: the causes of its chunks."""
    fetches = pick(events, "fetch")
    brought = np.zeros((len(requests["t_ns"]), len(CAUSES)), bool)
    brought[request_of(requests, fetches), fetches["cause"]] = True
    return [[cause for cause, some in zip(CAUSES, row, strict=True) if some] for row in brought.tolist()]


def _counters(events: pa.Table) -> Iterator[Slice]:
    start = origin(events)
    requests = pick(events, "request")
    order = np.argsort(ends(requests), kind="stable")
    came = zip(ends(requests)[order].tolist(), np.cumsum(requests["length"][order]).tolist(), strict=True)
    stored, gone = pick(events, "persist"), pick(events, "evict")
    when = np.concatenate([ends(stored), ends(gone)])
    change = np.concatenate([stored["length"], -gone["length"]])
    order = np.argsort(when, kind="stable")
    held = zip(when[order].tolist(), np.cumsum(change[order]).tolist(), strict=True)
    for name, points in (("bytes received", came), ("bytes in cache", held)):
        for at, value in points:
            yield {
                "name": name,
                "ph": "C",
                "ts": (at - start) / 1e3,
                "pid": _BACKEND,
                "tid": 0,
                "args": {"bytes": value},
            }


def _slice(name: str, kind: str, row: dict[str, int], start: int, pid: int, tid: int) -> Slice:
    known = ("read_id", "fetch_id", "chunk", "chunks", "offset", "length", "user_bytes")
    return {
        "name": name,
        "cat": kind,
        "ph": "X",
        "ts": (row["t_ns"] - start) / 1e3,
        "dur": row["dur_ns"] / 1e3,
        "pid": pid,
        "tid": tid,
        "args": {key: row[key] for key in known if row[key] >= 0},
    }


def _named(what: str, name: str, pid: int, tid: int = 0) -> Slice:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _rows(columns: Columns) -> Iterator[dict[str, int]]:
    names = list(columns)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _paths(run: Run) -> dict[int, str]:
    if run.reads is None:
        return {}
    return dict(zip(run.reads["read_id"].to_pylist(), run.reads["path"].to_pylist(), strict=True))
