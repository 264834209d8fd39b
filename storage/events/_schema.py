"""The schema of an event: one row a thing that happened.

Columns
-------
seq : int64
    Order in which rows were logged.
t_ns, dur_ns : int64
    Start on the monotonic clock, and duration.
ttfb_ns : int64
    Of a request: the part of `dur_ns` before its first byte; else 0.
kind : dictionary
    - ``read``: a user read; offset and length of the file range asked, bytes returned.
    - ``hit``: bytes served from the cache at once; the first chunk and how many.
    - ``wait``: a delayed hit: `dur_ns` waited for a fetch in flight, bytes then served from the cache.
    - ``fetch``: a chunk (or a gap) of a request; compressed offset and length, bytes given to the read.
    - ``request``: one range read from the backend.
    - ``decode``, ``persist``: of a whole fetch; uncompressed bytes.
    - ``dedup``: a chunk copied from another blob's cache file; bytes given to the read.
    - ``evict``: a chunk; bytes freed. ``retry``, ``failure``: of a read or a request.
cause : dictionary
    Why bytes were fetched: ``demand``, ``amplify``, ``gap`` (between chunks), ``refetch``
    (had already been there), ``prefetch``, ``meta``.
read_id, fetch_id : int64
    What the row belongs to; -1 for none.
blob, chunk, chunks : int32, int64, int32
    Index of the blob, row of the (first) chunk in the chunk table, and how many; -1 for none.
offset, length, user_bytes : int64
worker : int32
    A small number for the thread.
outcome : dictionary
    ``ok``, ``error``, ``dropped`` (a chunk that found no room in the cache).
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import numpy as np
import pyarrow as pa

__all__ = ["CAUSES", "EVENTS", "KINDS", "OUTCOMES", "ROW", "Cause", "Kind", "Outcome", "batch_of"]


class Kind(IntEnum):
    """What happened."""

    READ = 0
    HIT = 1
    WAIT = 2
    FETCH = 3
    REQUEST = 4
    DECODE = 5
    PERSIST = 6
    EVICT = 7
    RETRY = 8
    FAILURE = 9
    DEDUP = 10


class Cause(IntEnum):
    """Why bytes were fetched."""

    NONE = 0
    DEMAND = 1
    AMPLIFY = 2
    GAP = 3
    REFETCH = 4
    PREFETCH = 5
    META = 6


class Outcome(IntEnum):
    """How it ended."""

    OK = 0
    ERROR = 1
    DROPPED = 2


KINDS = tuple(kind.name.lower() for kind in Kind)
CAUSES = tuple(cause.name.lower() for cause in Cause)
OUTCOMES = tuple(outcome.name.lower() for outcome in Outcome)

_WORDS = {"kind": KINDS, "cause": CAUSES, "outcome": OUTCOMES}
_DICTIONARY = pa.dictionary(pa.int8(), pa.string())

EVENTS = pa.schema(
    [
        ("seq", pa.int64()),
        ("t_ns", pa.int64()),
        ("dur_ns", pa.int64()),
        ("ttfb_ns", pa.int64()),
        ("kind", _DICTIONARY),
        ("cause", _DICTIONARY),
        ("read_id", pa.int64()),
        ("fetch_id", pa.int64()),
        ("blob", pa.int32()),
        ("chunk", pa.int64()),
        ("chunks", pa.int32()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("user_bytes", pa.int64()),
        ("worker", pa.int32()),
        ("outcome", _DICTIONARY),
    ],
    metadata={"nydus.schema": "1"},
)

# The same row as it lies in a recorder's ring: wide columns first, so that nothing is padded.
ROW = np.dtype(
    [(name, "<i8") for name in ("seq", "t_ns", "dur_ns", "ttfb_ns", "read_id", "fetch_id")]
    + [(name, "<i8") for name in ("chunk", "offset", "length", "user_bytes")]
    + [(name, "<i4") for name in ("blob", "chunks", "worker")]
    + [(name, "i1") for name in ("kind", "cause", "outcome")]
    + [("spare", "i1")]
)


def batch_of(rows: np.ndarray) -> pa.RecordBatch:
    """Rows of dtype `ROW` as a record batch of `EVENTS`."""
    return pa.record_batch([_column(rows, name) for name in EVENTS.names], schema=EVENTS)


def _column(rows: np.ndarray, name: str) -> pa.Array:
    column = pa.array(np.ascontiguousarray(rows[name]))
    return pa.DictionaryArray.from_arrays(column, _words(name)) if name in _WORDS else column


@cache
def _words(name: str) -> pa.Array:
    # Late: pyarrow loads pandas for its first array, a third of a second that opening an image can do without.
    return pa.array(_WORDS[name])
