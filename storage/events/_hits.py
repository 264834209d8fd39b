"""Hits as a recorder keeps them: one short record for the hit and its read, spread into rows on the way out."""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa

from storage.events._schema import EVENTS, ROW, Kind, batch_of

__all__ = ["HIT", "HITS_AT_ONCE", "batch_of_hits"]

HITS_AT_ONCE = 4096

# What differs from hit to hit; the rest of the two rows is the same in all of them.
HIT = np.dtype(
    [(name, "<i8") for name in ("seq", "t_ns", "end_ns", "read_id", "chunk")] + [("blob", "<i4"), ("size", "<i4")]
)


def batch_of_hits(hits: np.ndarray, worker: int) -> pa.RecordBatch:
    """At most `HITS_AT_ONCE` records of dtype `HIT` as a batch of `EVENTS`, two rows each: the hit, then the read."""
    size = hits["size"].astype(np.int64)
    varying = {
        "seq": _pairs(hits["seq"], hits["seq"] + 1),
        "t_ns": np.repeat(hits["t_ns"], 2),
        "dur_ns": np.repeat(hits["end_ns"] - hits["t_ns"], 2),
        "read_id": np.repeat(hits["read_id"], 2),
        "chunk": _pairs(hits["chunk"], -1),
        "length": _pairs(0, size),
        "user_bytes": np.repeat(size, 2),
        "blob": _pairs(hits["blob"], -1),
    }
    same, rows = _same(worker), 2 * len(hits)
    columns = [pa.array(varying[name]) if name in varying else same[name].slice(0, rows) for name in EVENTS.names]
    return pa.record_batch(columns, EVENTS)


def _pairs(first: np.ndarray | int, second: np.ndarray | int) -> np.ndarray:
    """Values of hits and of reads, in turns."""
    one = first if isinstance(first, np.ndarray) else second
    assert isinstance(one, np.ndarray)
    both = np.empty(2 * len(one), one.dtype)
    both[0::2], both[1::2] = first, second
    return both


@functools.lru_cache(maxsize=64)
def _same(worker: int) -> dict[str, pa.Array]:
    """The columns that are the same in all hits of a worker."""
    rows = np.zeros(2 * HITS_AT_ONCE, ROW)
    rows["worker"] = worker
    rows["fetch_id"] = -1
    rows["kind"][0::2], rows["kind"][1::2] = Kind.HIT, Kind.READ
    rows["chunks"][0::2] = 1
    batch = batch_of(rows)
    return dict(zip(batch.schema.names, batch.columns, strict=True))
