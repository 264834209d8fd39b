"""What the link carried, over time, by cause."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from workbench.view._heat import mark_programs
from workbench.view._style import CAUSES, COLOURS, Picture, bare, picture, styled
from workbench.view._table import Run, ends, origin, pick, request_of

__all__ = ["bandwidth", "rates"]

F64 = npt.NDArray[np.float64]


def rates(events: pa.Table, bins: int = 160) -> tuple[F64, F64]:
    """Bytes per second, by cause.

    A request's bytes are taken to flow evenly from its first byte to its last. What each cause carried sums, over
    the bins, to the bytes that it received.

    Returns
    -------
    edges : (bins + 1,) float64
        Seconds since the first event.
    rate : (6, bins) float64
        Bytes per second, for each of `CAUSES`.
    """
    requests, fetches = pick(events, "request"), pick(events, "fetch")
    start = origin(events)
    last = max(int(ends(c).max(initial=start + 1)) for c in (requests, pick(events, "read")))
    edges = np.linspace(0, (last - start) / 1e9, bins + 1)
    begun = (requests["t_ns"] + requests["ttfb_ns"] - start) / 1e9
    done = np.maximum((ends(requests) - start) / 1e9, begun + 1e-9)
    at = request_of(requests, fetches)
    rate = np.zeros((len(CAUSES), bins))
    for cause in np.unique(fetches["cause"][fetches["cause"] >= 0]):
        mine = fetches["cause"] == cause
        flows = np.bincount(at[mine], fetches["length"][mine], len(begun)).astype(np.float64)
        rate[cause] = np.diff(_carried(edges, begun, done, flows)) / np.diff(edges)
    return edges, rate


@styled
def bandwidth(run: Run, *, limit: float | None = None, width: float = 9.0, height: float = 2.8) -> Picture:
    """Draw what the link carried, stacked by cause.

    Parameters
    ----------
    run
        Live or replayed.
    limit
        The link's bandwidth in bytes per second, drawn as a line.
    width, height
        In inches.
    """
    edges, rate = rates(run.events, bins=int(width * 20))
    figure = picture(width, height)
    ax = figure.add_subplot()
    used = [cause for i, cause in enumerate(CAUSES) if rate[i].any()]
    bare(ax, "What the link carried", used, mark_programs(ax, run))
    floor = np.zeros(rate.shape[1])
    for cause in used:
        top = floor + 8 * rate[CAUSES.index(cause)] / 1e6
        ax.stairs(top, edges, baseline=floor, fill=True, color=COLOURS[cause], linewidth=0)
        floor = top
    if limit:
        ax.axhline(8 * limit / 1e6, color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (4, 3)))
    ax.set_xlim(0, edges[-1])
    ax.set_ylim(0)
    ax.grid(axis="y")
    ax.set_xlabel("seconds since the start")
    ax.set_ylabel("Mbit/s")
    return figure


def _carried(edges: F64, begun: F64, done: F64, bytes_: F64) -> F64:
    """Bytes that all flows together had carried by each edge."""
    slope = bytes_ / (done - begun)
    at = np.concatenate([begun, done])
    change = np.concatenate([slope, -slope])
    order = np.argsort(at, kind="stable")
    at, rate = at[order], np.cumsum(change[order])
    total = np.concatenate([[0.0], np.cumsum(rate[:-1] * np.diff(at))])
    return np.interp(edges, at, total, left=0.0, right=float(bytes_.sum())) if len(at) else np.zeros_like(edges)
