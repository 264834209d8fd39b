"""What lay between a live run and its registry, fitted to its events, and how well that explains them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from storage.backend import Link
from storage.errors import TraceError
from workbench.replay._cpu import Cpu, calibrate

__all__ = ["Fit", "fit"]

I64 = npt.NDArray[np.int64]
_QUANTILES = 9


@dataclass(frozen=True)
class Fit:
    """A link and a processor, and what they leave unexplained.

    Attributes
    ----------
    link, cpu
        What a replay of the run should be given.
    requests
        How many were seen, and how many of them had the link to themselves.
    alone
        Of those, the predicted duration over the measured: the median, and the median distance from it.
    total
        Predicted over measured, summed over them.
    """

    link: Link
    cpu: Cpu
    requests: tuple[int, int]
    alone: tuple[float, float]
    total: float

    def _repr_html_(self) -> str:
        rows = {**vars(self.link), **vars(self.cpu), "predicted / measured": f"{self.total:.3f}"}
        return pd.Series(rows, name="fitted").to_frame().to_html()


def fit(events: pa.Table, connections: int = 8) -> Fit:
    """Fit link and processor to a live run.

    The round trip is the least time to a first byte, and what comes on top a distribution;
    the bandwidth is what came while anything flowed. `calibrate` gives the processor.

    Parameters
    ----------
    events
        In the schema `storage.events.EVENTS`.
    connections
        How many requests the link lets under way; events do not tell.

    Raises
    ------
    TraceError
        If there is no request among the events.
    """
    frame = events.select(["kind", "t_ns", "dur_ns", "ttfb_ns", "length", "outcome"]).to_pandas()
    rows = frame[(frame["kind"] == "request") & (frame["outcome"] == "ok") & (frame["length"] > 0)]
    if not len(rows):
        raise TraceError("no request is among the events, so nothing tells of the link", field="kind")
    start, spent, first, length = (rows[name].to_numpy() for name in ("t_ns", "dur_ns", "ttfb_ns", "length"))
    unqueued = _overlaps(start, start + spent) < connections
    prompt = first[unqueued] if unqueued.any() else first
    rtt = int(prompt.min())
    late = np.quantile(prompt - rtt, np.linspace(0, 1, _QUANTILES)).astype(np.int64)
    bandwidth = max(int(length.sum() * 1e9 / max(_union(start + first, start + spent), 1)), connections)
    link = Link(rtt_ns=rtt, bandwidth=bandwidth, connections=connections, jitter_ns=tuple(late.tolist()))
    alone = _overlaps(start, start + spent) == 0
    predicted = rtt + int(late.mean()) + length[alone] * 1e9 / bandwidth
    ratio = predicted / np.maximum(spent[alone], 1)
    middle = float(np.median(ratio)) if alone.any() else float("nan")
    apart = float(np.median(np.abs(ratio - middle))) if alone.any() else float("nan")
    total = float(predicted.sum() / spent[alone].sum()) if alone.any() else float("nan")
    return Fit(link, calibrate(events), (len(rows), int(alone.sum())), (middle, apart), total)


def _overlaps(start: I64, end: I64) -> I64:
    """With how many others each interval shares some time."""
    begun = np.searchsorted(np.sort(start), end, side="left")
    over = np.searchsorted(np.sort(end), start, side="right")
    return np.asarray(begun - over - 1)


def _union(start: I64, end: I64) -> int:
    """Nanoseconds that lie in at least one interval."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reach = np.maximum.accumulate(end)
    gaps = np.maximum(start[1:] - reach[:-1], 0)
    return int(reach[-1] - start[0] - gaps.sum())
