"""Event tables as numpy columns, picked by kind; nothing here loops over rows."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import TraceError
from storage.events import OUTCOMES
from workbench.view._style import CAUSES

__all__ = ["Columns", "Run", "codes", "ends", "origin", "pick", "reads_of", "request_of", "spread", "touched", "tracks"]

I64 = npt.NDArray[np.int64]
Columns = dict[str, I64]

_NUMBERS: tuple[str, ...] = (
    "t_ns",
    "dur_ns",
    "ttfb_ns",
    "read_id",
    "fetch_id",
    "blob",
    "chunk",
    "chunks",
    "offset",
    "length",
)
_NUMBERS += ("user_bytes", "worker")


class Run(NamedTuple):
    """One run, live or replayed: what all pictures are made from.

    Attributes
    ----------
    name
        What the run is called beside its lines.
    events
        In the schema `storage.events.EVENTS`.
    reads
        The workload in the schema `READS`, where it is known: it adds programs, threads, paths and think time.
    """

    name: str
    events: pa.Table
    reads: pa.Table | None = None


def codes(column: pa.ChunkedArray, names: Sequence[str]) -> I64:
    """Text as positions in `names`; -1 for what is not there."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    position = {name: i for i, name in enumerate(names)}
    lookup = np.array([position.get(name, -1) for name in array.dictionary.to_pylist()] + [-1], np.int64)
    found: I64 = lookup[array.indices.fill_null(len(lookup) - 1).to_numpy(zero_copy_only=False)]
    return found


def pick(events: pa.Table, *kinds: str) -> Columns:
    """Rows of these kinds by time; ``cause`` and ``outcome`` are positions in `CAUSES` and `OUTCOMES`."""
    chosen = events.filter(pa.array(codes(events["kind"], kinds) >= 0))
    order = np.argsort(chosen["t_ns"].to_numpy(), kind="stable")
    columns = {name: chosen[name].to_numpy().astype(np.int64)[order] for name in _NUMBERS}
    words = {"cause": CAUSES, "outcome": OUTCOMES}
    return columns | {name: codes(chosen[name], known)[order] for name, known in words.items()}


def ends(columns: Columns) -> I64:
    """When each row was over."""
    return columns["t_ns"] + columns["dur_ns"]


def origin(events: pa.Table) -> int:
    """When the first thing happened; 0 if nothing did."""
    return int(events["t_ns"].to_numpy().min()) if len(events) else 0


def request_of(requests: Columns, fetches: Columns) -> I64:
    """For each fetched chunk, the row of the request that brought it.

    Raises
    ------
    TraceError
        If there is none: the events are not whole.
    """
    order = np.argsort(requests["fetch_id"], kind="stable")
    known = requests["fetch_id"][order]
    at = np.searchsorted(known, fetches["fetch_id"])
    if len(at) and (not len(known) or (known[np.minimum(at, len(known) - 1)] != fetches["fetch_id"]).any()):
        raise TraceError("a chunk was fetched without a request", field="fetch_id")
    return order[at]


def reads_of(run: Run) -> tuple[Columns, list[str]]:
    """The reads of a run in order of time, and the names of its programs in the order they ran.

    When a read took place is what the events say; the workload adds ``thread``, ``program`` (a position in the names)
    and ``think_ns``. A replayed run can therefore be shown with the workload it replays. Without a workload, a worker
    is a thread, all is one program, and a thread thinks from the end of one of its reads to the start of the next.

    Raises
    ------
    TraceError
        If the workload does not know a read.
    """
    reads = pick(run.events, "read")
    if run.reads is None:
        return _alone(reads), [run.name]
    ids = run.reads["read_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids[order], reads["read_id"]), max(len(ids) - 1, 0))
    if len(at) and (not len(ids) or (ids[order][at] != reads["read_id"]).any()):
        raise TraceError("these events are not of this workload: a read is in one only", field="read_id")
    workload = run.reads.take(pa.array(order[at]))
    names = list(dict.fromkeys(workload["program"].to_pylist()))
    known = {name: workload[name].to_numpy().astype(np.int64) for name in ("thread", "think_ns")}
    return reads | known | {"program": codes(workload["program"], names)}, names


def touched(events: pa.Table, chunks: int) -> npt.NDArray[np.bool_]:
    """By chunk, whether a read got bytes of it."""
    seen = np.zeros(chunks, bool)
    for kind in ("hit", "wait", "fetch"):
        rows = pick(events, kind)
        used = (rows["chunk"] >= 0) & (rows["user_bytes"] > 0)
        _, found = spread(rows["chunk"][used], np.maximum(rows["chunks"][used], 1))
        # A hit names its first chunk and how many; where a file repeats a chunk, that runs past the last one.
        seen[found[found < chunks]] = True
    return seen


def spread(first: I64, lengths: I64) -> tuple[I64, I64]:
    """Runs of numbers one after the other, each from `first` on: the run that each belongs to, and the numbers."""
    which = np.repeat(np.arange(len(first)), lengths)
    within = np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return which, first[which] + within


def tracks(requests: Columns) -> I64:
    """The lowest track that is free when each request starts, so that no two overlap; they are in order of time."""
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    found = []
    for begun, done in zip(requests["t_ns"].tolist(), ends(requests).tolist(), strict=True):
        while busy and busy[0][0] <= begun:
            heapq.heappush(free, heapq.heappop(busy)[1])
        track = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (done, track))
        found.append(track)
    return np.array(found, np.int64)


def _alone(reads: Columns) -> Columns:
    order = np.lexsort((reads["t_ns"], reads["worker"]))
    start, over = reads["t_ns"][order], ends(reads)[order]
    first = np.diff(reads["worker"][order], prepend=-1) != 0
    think = np.empty_like(start)
    think[order] = start - np.where(first, start.min(initial=np.iinfo(np.int64).max), np.roll(over, 1))
    return reads | {"thread": reads["worker"], "think_ns": think, "program": np.zeros_like(think)}
