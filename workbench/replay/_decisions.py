"""What was decided in a run, without when: what a live run and its replay have in common, down to the last row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["decisions"]

_COLUMNS = ["kind", "cause", "read_id", "blob", "chunk", "chunks", "offset", "length", "user_bytes", "outcome"]
_WORK = ("decode", "persist")


def decisions(events: pa.Table) -> list[dict[str, Any]]:
    """What was read, hit, waited for, requested, fetched and evicted, in order, without times and ids of requests.

    Left out are requests for blob.meta, which a replay has none of. Hits of one read in a row count as one: where
    nothing can be evicted, the live store does not divide a read of ready chunks up.

    Parameters
    ----------
    events
        In the schema `storage.events.EVENTS`.
    """
    chosen = events.filter(pc.invert(pc.is_in(events["kind"].cast(pa.string()), pa.array(_WORK))))
    chosen = chosen.filter(pc.or_(pc.greater_equal(chosen["read_id"], 0), pc.equal(chosen["kind"], "evict")))
    rows: list[dict[str, Any]] = []
    for row in chosen.select(_COLUMNS).to_pylist():
        last = rows[-1] if rows else row
        if rows and row["kind"] == last["kind"] == "hit" and row["read_id"] == last["read_id"]:
            last["chunks"] += row["chunks"]
            last["user_bytes"] += row["user_bytes"]
        else:
            rows.append(row)
    return rows
