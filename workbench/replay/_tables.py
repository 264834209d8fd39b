"""What a replay's requests say, as Arrow tables: one by one, by chunk, by cause, and over time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.plan import Layout
from workbench.replay._world import Request

__all__ = ["by_cause", "by_chunk", "by_read", "by_request", "over_time"]

I64 = npt.NDArray[np.int64]
_CAUSES = ("demand", "amplify", "gap", "refetch", "prefetch")
_NAMES = {"T": "t_ns", "DUR": "dur_ns", "TTFB": "ttfb_ns", "READ": "read_id"}
_LAST = np.iinfo(np.int64).max


def by_request(requests: I64, read_id: I64) -> pa.Table:
    """By request: when, for which read (-1 for none), chunks, range, its bytes by cause, tries, and whether it failed.

    Parameters
    ----------
    read_id
        The id of each read.
    """
    columns = {_NAMES.get(name, name.lower()): requests[:, at] for name, at in Request._asdict().items()}
    columns["read_id"] = np.append(read_id, -1)[columns["read_id"]]  # the last is for reads that are none
    return pa.table(columns)


def by_read(requests: I64, reads: int) -> tuple[I64, I64]:
    """By read: nanoseconds until first bytes, and while bytes flowed."""
    mine = requests[requests[:, Request.READ] >= 0]
    rtt, flow = np.zeros(reads, np.int64), np.zeros(reads, np.int64)
    np.add.at(rtt, mine[:, Request.READ], mine[:, Request.TTFB])
    np.add.at(flow, mine[:, Request.READ], mine[:, Request.DUR] - mine[:, Request.TTFB])
    return rtt, flow


def by_cause(requests: I64) -> pa.Table:
    """Bytes by cause, the requests that carried some of them, and nanoseconds on the link, shared out by bytes."""
    sizes = requests[:, [getattr(Request, cause.upper()) for cause in _CAUSES]]
    whole = np.maximum(sizes.sum(axis=1, keepdims=True), 1)
    return pa.table(
        {
            "cause": list(_CAUSES),
            "bytes": sizes.sum(axis=0),
            "requests": (sizes > 0).sum(axis=0),
            "link_ns": (requests[:, [Request.DUR]] * (sizes / whole)).sum(axis=0).astype(np.int64),
        }
    )


def by_chunk(requests: I64, segments: I64, layout: Layout) -> pa.Table:
    """By chunk: bytes, how often it was read and fetched, how often ahead of a read, and when it first came.

    Parameters
    ----------
    segments
        The chunk of each segment of the reads.
    """
    chunks, requests = len(layout.size), requests[requests[:, Request.FAILED] == 0]
    first, last = requests[:, Request.FIRST], requests[:, Request.LAST]
    came = np.full(chunks, _LAST)
    for begin, end, at in zip(first, last, requests[:, Request.T] + requests[:, Request.DUR], strict=True):
        np.minimum(came[begin : end + 1], at, out=came[begin : end + 1])
    ahead = requests[:, Request.READ] < 0
    return pa.table(
        {
            "chunk": np.arange(chunks),
            "blob": layout.blob,
            "compressed_size": layout.end - layout.start,
            "uncompressed_size": layout.size,
            "reads": np.bincount(segments, minlength=chunks),
            "fetched": _cover(first, last, chunks),
            "prefetched": _cover(first[ahead], last[ahead], chunks),
            "first_ns": pa.array(came, mask=came == _LAST),
        }
    )


def _cover(first: I64, last: I64, chunks: int) -> I64:
    """How many of the spans each chunk lies in."""
    steps = np.bincount(first, minlength=chunks + 1) - np.bincount(last + 1, minlength=chunks + 1)
    return np.asarray(np.cumsum(steps)[:chunks])


def over_time(requests: I64) -> pa.Table:
    """The link over time: from each moment on, requests that wait for a first byte, and those whose bytes flow.

    `bytes` are those that have come by then.
    """
    asked, over = requests[:, Request.T], requests[:, Request.T] + requests[:, Request.DUR]
    flowing = asked + requests[:, Request.TTFB]
    t = np.unique(np.concatenate([asked, flowing, over]))

    def until(times: I64) -> I64:
        return np.searchsorted(np.sort(times), t, side="right")

    order = np.argsort(over, kind="stable")
    length = np.where(requests[:, Request.FAILED] == 0, requests[:, Request.LENGTH], 0)
    came = np.concatenate([[0], np.cumsum(length[order])])
    return pa.table(
        {
            "t_ns": t,
            "waiting": until(asked) - until(flowing),
            "flowing": until(flowing) - until(over),
            "bytes": came[until(over)],
        }
    )
