"""Event tables as numpy columns, picked by kind; nothing here loops over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.errors import TraceError
from workbench.view._style import CAUSES

__all__ = ["Columns", "Run", "codes", "ends", "origin", "pick", "reads_of", "request_of"]

I64 = npt.NDArray[np.int64]
Columns = dict[str, I64]

_NUMBERS = ("t_ns", "dur_ns", "ttfb_ns", "read_id", "fetch_id", "blob", "chunk", "chunks", "offset", "length")
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
        The workload in the schema `READS`, where it is known: it adds programs and think time.
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
    return lookup[array.indices.fill_null(len(lookup) - 1).to_numpy(zero_copy_only=False)]


def pick(events: pa.Table, *kinds: str) -> Columns:
    """Rows of these kinds in the order of their time; ``cause`` is a position in `CAUSES`."""
    chosen = events.filter(pa.array(codes(events["kind"], kinds) >= 0))
    order = np.argsort(chosen["t_ns"].to_numpy(), kind="stable")
    columns = {name: chosen[name].to_numpy().astype(np.int64)[order] for name in _NUMBERS}
    return columns | {"cause": codes(chosen["cause"], CAUSES)[order]}


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
    """The reads of a run and the names of its programs, in the order they ran.

    Each read has ``t_ns, dur_ns, think_ns, read_id, thread, program`` (a position in the names).
    Without a workload, a worker is a thread, all is one program, and a thread thinks from the end of one of
    its reads to the start of the next.
    """
    if run.reads is None:
        return _reads_from_events(run.events), [run.name]
    order = np.argsort(run.reads["t_ns"].to_numpy(), kind="stable")
    names = list(dict.fromkeys(run.reads["program"].take(pa.array(order)).to_pylist()))
    wanted = ("t_ns", "dur_ns", "think_ns", "read_id", "thread", "length")
    columns = {name: run.reads[name].to_numpy().astype(np.int64)[order] for name in wanted}
    return columns | {"program": codes(run.reads["program"], names)[order]}, names


def _reads_from_events(events: pa.Table) -> Columns:
    reads = pick(events, "read")
    order = np.lexsort((reads["t_ns"], reads["worker"]))
    reads = {name: column[order] for name, column in reads.items()}
    before = np.concatenate([[0], ends(reads)[:-1]])
    first = np.diff(reads["worker"], prepend=-1) != 0
    start = reads["t_ns"].min(initial=np.iinfo(np.int64).max)
    think = reads["t_ns"] - np.where(first, start, before)
    return reads | {"thread": reads["worker"], "think_ns": think, "program": np.zeros_like(think)}
