"""A workload run for real and replayed, side by side."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from storage.backend import BlobBackend, Link
from storage.errors import StorageError
from storage.events import Recorder
from storage.factory import open_store
from storage.fs import Rafs
from storage.image import open_image
from workbench.replay._cpu import calibrate
from workbench.replay._fit import fit
from workbench.replay._run import replay
from workbench.replay._settings import Settings, amplify_of, prefetch_rows
from workbench.replay._workload import Workload
from workbench.trace import READS

__all__ = ["Live", "Validation", "run_live", "validate"]

_KEPT = ("requests", "bytes_received", "bytes_hit", "bytes_waited", "bytes_fetched", "time_to_last_read_ns")

_IDS = 1 << 32


@dataclass(frozen=True)
class Live:
    """Events, reads, and the time to the last read, of a workload that was run."""

    events: pa.Table
    reads: pa.Table
    time_to_last_read_ns: int


@dataclass(frozen=True)
class Validation:
    """Medians of live runs and of their replays, side by side.

    Attributes
    ----------
    table
        By measure: live, replayed, and their ratio.
    runs
        The same measures of each run.
    settings
        What was replayed, with the fitted processor and link.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    settings: Settings

    def __repr__(self) -> str:
        return self.table.to_string(float_format="{:,.3f}".format)

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format="{:,.3f}".format)


def validate(
    image: str | Path,
    trace: pa.Table,
    settings: Settings,
    *,
    backend: BlobBackend | None = None,
    fitted_on: Settings | None = None,
    runs: int = 5,
) -> Validation:
    """Run a workload live, cold each time, and replay it; the costs come from runs under other settings.

    Parameters
    ----------
    image
        A folder with bootstrap and blobs.
    trace
        Reads, in the schema `workbench.trace.READS`: who reads what, and how long he thinks in between.
    settings
        Of both. The live link is shaped as `settings.link` says.
    backend
        A real registry instead: its link is fitted along with the processor, and `settings.link` gives
        only how many connections there are.
    fitted_on
        Settings of the run that the processor, and a real link, is fitted to; by default `settings`.
    runs
        How many.
    """
    opened = open_image(image)
    workload = Workload.from_reads(trace, opened)
    first = run_live(image, trace, fitted_on or settings, backend)
    known = replace(settings, cpu=calibrate(first.events))
    if backend is not None:
        known = replace(known, link=fit(first.events, settings.link.connections).link)
    rows = []
    for _ in range(runs):
        live = run_live(image, trace, settings, backend)
        rows.append(_live_row(live))
    table = pd.DataFrame({"live": _medians(rows)})
    table["replayed"] = pd.Series(_replayed_row(workload, known))
    table["ratio"] = table["replayed"] / table["live"].where(table["live"] != 0)
    return Validation(table, pd.DataFrame(rows), known)


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _replayed_row(workload: Workload, settings: Settings) -> dict[str, float]:
    result = replay(workload, None, settings)
    reads = result.reads
    sums = {part: int(reads[f"{part}_ns"].sum()) for part in ("rtt", "bandwidth", "waiting", "decode")}
    return {name: result.totals[name] for name in _KEPT} | {f"{part}_ns": ns for part, ns in sums.items()}


def _live_row(live: Live) -> dict[str, float]:
    """What a replay's totals say, of events: without what came before the first program."""
    frame = live.events.to_pandas()
    user = frame[frame["read_id"] >= 0]
    requests = frame[(frame["kind"] == "request") & (frame["fetch_id"].isin(_fetches(frame)))]
    mine = user[user["kind"] == "request"]
    given = {kind: int(user.loc[user["kind"] == kind, "user_bytes"].sum()) for kind in ("hit", "wait", "fetch")}
    rtt, waiting = int(mine["ttfb_ns"].sum()), int(user.loc[user["kind"] == "wait", "dur_ns"].sum())
    flow = int(mine["dur_ns"].sum()) - rtt
    inside = int(user.loc[user["kind"] == "read", "dur_ns"].sum())
    return {
        "requests": len(requests),
        "bytes_received": int(requests["length"].sum()),
        "bytes_hit": given["hit"],
        "bytes_waited": given["wait"],
        "bytes_fetched": given["fetch"],
        "time_to_last_read_ns": live.time_to_last_read_ns,
        "rtt_ns": rtt,
        "bandwidth_ns": flow,
        "waiting_ns": waiting,
        "decode_ns": inside - rtt - flow - waiting,
    }


def _fetches(frame: pd.DataFrame) -> pd.Series:
    return frame.loc[(frame["kind"] == "fetch") & (frame["cause"] != "meta"), "fetch_id"]


def run_live(image: str | Path, trace: pa.Table, settings: Settings, backend: BlobBackend | None = None) -> Live:
    """Run a workload for real on an empty cache: its programs one after the other, threads with their think times.

    Raises
    ------
    StorageError
        What a read raises.
    """
    workload = Workload.from_reads(trace, open_image(image))
    rows = trace.to_pandas().set_index("read_id").loc[workload.read_id]
    asked = list(zip(rows["path"].astype(str), rows["offset"], rows["length"], strict=True))
    link: Link | None = None if backend is not None else settings.link
    ahead, policy = prefetch_rows(settings.prefetch, workload), settings.policy
    spent, done, events = 0, list[tuple[Any, ...]](), list[pa.Table]()
    with tempfile.TemporaryDirectory(prefix="validate-") as cache:
        for program in range(len(workload.programs)):
            recorder = Recorder()
            with open_store(
                image,
                cache_dir=cache,
                backend=backend,
                link=link,
                plan=settings.plan,
                amplify_io=amplify_of(settings, workload),
                capacity=None if policy.name == "none" else settings.capacity,
                policy=policy.functions,
                arena_of=policy.arena,
                prefetch_workers=settings.prefetch_workers,
                recorder=recorder,
            ) as rafs:
                start = time.monotonic_ns()
                if program == 0 and len(ahead):
                    rafs.prefetch(ahead.tolist())
                _drive(rafs, workload, program, asked, start, done)
                spent += max((row[1] + row[2] for row in done if row[5] == program), default=start) - start
            events.append(_apart(recorder.table(), program))
        return Live(pa.concat_tables(events, promote_options="permissive"), _table(done, workload), spent)


def _apart(events: pa.Table, program: int) -> pa.Table:
    """Ids that no other program has: each store counts from 0."""
    for name in ("read_id", "fetch_id"):
        column = events[name].to_numpy()
        moved = pa.array(np.where(column >= 0, column + program * _IDS, column))
        events = events.set_column(events.column_names.index(name), name, moved)
    return events


def _drive(
    rafs: Rafs, workload: Workload, program: int, asked: Sequence[tuple[str, int, int]], start: int, done: list[Any]
) -> None:
    """All threads of a program, from `start` on, to their last read."""
    errors: list[StorageError] = []

    def read_all(thread: int) -> None:
        ended = start
        for read in range(*workload.thread_first[thread : thread + 2]):
            path, offset, length = asked[read]
            _sleep_until(ended + int(workload.think_ns[read]))
            number, begun = rafs.cache.new_read_id(), time.monotonic_ns()
            rafs.readinto(rafs.lookup(path), offset, bytearray(length), number)
            over = time.monotonic_ns()
            done.append((number, begun, over - begun, begun - ended, thread, program, path, offset, length))
            ended = over

    def safely(thread: int) -> None:
        try:
            read_all(thread)
        except StorageError as error:
            errors.append(error)

    _together([partial(safely, thread) for thread in range(*workload.program_first[program : program + 2])])
    if errors:
        raise errors[0]


def _together(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sleep_until(deadline: int) -> None:
    left = deadline - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)


def _table(rows: Sequence[tuple[Any, ...]], workload: Workload) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    columns[5] = tuple(workload.programs[number] for number in columns[5])
    arrays = [pa.array(np.array(column) if i != 5 and i != 6 else column) for i, column in enumerate(columns)]
    return pa.table(arrays, names=READS.names)
