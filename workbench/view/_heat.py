"""Which chunk, when, and why: chunks over time."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes

from storage.events import OUTCOMES
from workbench.layout import TOP, Tables, owners
from workbench.view._style import CAUSES, COLOURS, Picture, bare, picture, rgb, styled
from workbench.view._table import Columns, Run, ends, origin, pick, reads_of, request_of, spread
from workbench.view._words import count

__all__ = ["Heat", "heat", "heat_map", "mark_programs"]

I64 = npt.NDArray[np.int64]

_OVER = ("gap", "amplify", "prefetch", "meta", "refetch", "demand")
"""Causes in the order they are painted: the rarer and dearer, the later."""


class Heat(NamedTuple):
    """The map before it is painted; row 0 has the first of the blob's chunks, column 0 the run's start.

    Attributes
    ----------
    resident : (rows, columns) float64
        Share of the cell's chunks that is in the cache.
    hits : (rows, columns) int64
        Chunks served from the cache.
    fetched : (6, rows, columns) bool
        Whether a chunk of the cell is on its way, for each of `CAUSES`.
    start_ns, end_ns
        Time covered.
    chunk : (n,) int64
        Rows of `Chunks` that were fetched or hit, ascending: what the rows of the map are made of.
    """

    resident: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]
    fetched: npt.NDArray[np.bool_]
    start_ns: int
    end_ns: int
    chunk: I64


def heat(events: pa.Table, rows: int = 260, columns: int = 540) -> Heat:
    """Bin a run into chunks over time.

    Parameters
    ----------
    events
        In the schema `storage.events.EVENTS`.
    rows, columns
        The finest that the map may be; there are never more rows than chunks that the run has to do with.
    """
    fetches, hits, gone = _fetches(events), _with_chunk(pick(events, "hit")), pick(events, "evict")
    which, hit = spread(hits["chunk"], np.maximum(hits["chunks"], 1))
    known = np.unique(np.concatenate([fetches["chunk"], hit, gone["chunk"]]))
    start = origin(events)
    end = max(int(ends(columns).max(initial=start + 1)) for columns in (fetches, hits, pick(events, "read")))
    grid = _Grid(max(min(rows, len(known)), 1), columns, start, end, known)
    served = np.zeros((grid.rows, columns), np.int64)
    np.add.at(served, (grid.row(hit), grid.column(hits["t_ns"])[which]), 1)
    fetched = np.zeros((len(CAUSES), grid.rows, columns), bool)
    first, last = grid.column(fetches["t_ns"]), grid.column(ends(fetches))
    which, along = spread(first, last - first + 1)
    fetched[fetches["cause"][which], grid.row(fetches["chunk"])[which], along] = True
    return Heat(_resident(grid, fetches, gone), served, fetched, start, end, known)


@styled
def heat_map(run: Run, image: Tables | None = None, *, width: float = 9.0, height: float = 4.6) -> Picture:
    """Draw which chunk was fetched and hit when, by cause; what is in the cache is washed grey.

    Chunks that the run has nothing to do with have no room in the picture.

    Parameters
    ----------
    run
        Live or replayed.
    image
        The image, or what has its tables: adds the names of its directories, and how many chunks there are.
    width, height
        In inches.
    """
    data = heat(run.events, columns=int(width * 60))
    figure = picture(width, height)
    ax = figure.add_subplot()
    used = [cause for i, cause in enumerate(CAUSES) if data.fetched[i].any()]
    bare(ax, "Which chunk, when", [*used, "hit", "cached"], mark_programs(ax, run))
    n = max(len(data.chunk), 1)
    ax.imshow(
        painted(data), extent=(0.0, (data.end_ns - data.start_ns) / 1e9, n, 0.0), aspect="auto", interpolation="none"
    )
    ax.set_xlabel("seconds since the start")
    ticks = np.unique(np.linspace(0, n - 1, 5).astype(int))[: len(data.chunk)]
    ax.set_yticks(ticks + 0.5, [count(data.chunk[at]) for at in ticks])
    of = "" if image is None else f" of {count(len(image.chunks))}"
    ax.set_ylabel(f"{count(len(data.chunk))}{of} chunks, in the order of the blob")
    if image is not None:
        _name_rows(ax, image, data.chunk)
    return figure


def _name_rows(ax: Axes, image: Tables, chunk: I64) -> None:
    """At the right, the directory of every stretch of chunks that is high enough to be named."""
    owner, names = pd.factorize(owners(image).reindex(chunk).to_numpy())
    cuts = np.flatnonzero(np.diff(owner, prepend=-2, append=-2))
    for first, last in pairwise(cuts):
        if last - first >= 0.035 * len(chunk) and owner[first] >= 0:
            name = str(names[owner[first]])
            name = "top level" if name == TOP else name if len(name) < 16 else f"{name[:14]}…"
            ax.annotate(
                name, (1, (first + last) / 2), (4, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", fontsize=7.5, color=COLOURS["muted"],
            )  # fmt: skip
            ax.plot(
                [1, 1], [first + 0.1, last - 0.1], transform=ax.get_yaxis_transform(), color=COLOURS["rule"],
                linewidth=2.5, clip_on=False, solid_capstyle="butt",
            )  # fmt: skip


def painted(data: Heat) -> npt.NDArray[np.float64]:
    """The map as (rows, columns, 4) colours; whatever is not there is transparent."""
    image = np.zeros((*data.hits.shape, 4))
    image[..., :3] = rgb("cached")
    image[..., 3] = 0.22 * data.resident
    image[data.hits > 0] = (*rgb("hit"), 1.0)
    for cause in _OVER:
        image[data.fetched[CAUSES.index(cause)]] = (*rgb(cause), 1.0)
    return image


def mark_programs(ax: Axes, run: Run) -> float:
    """A thin line where each program starts, its name above the axes; returns the points that the names take."""
    reads, names = reads_of(run)
    if len(names) < 2:
        return 0.0
    begun = reads["t_ns"] - reads["think_ns"]
    for i, name in enumerate(names):
        at = max((int(begun[reads["program"] == i].min()) - origin(run.events)) / 1e9, 0.0)
        ax.axvline(at, color=COLOURS["muted"], linewidth=0.6, zorder=3)
        ax.annotate(
            name, (at, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=8, color=COLOURS["muted"],
        )  # fmt: skip
    return 14.0


class _Grid(NamedTuple):
    rows: int
    columns: int
    start: int
    end: int
    known: I64

    def column(self, t_ns: I64) -> I64:
        return np.clip((t_ns - self.start) * self.columns // (self.end - self.start), 0, self.columns - 1)

    def row(self, chunk: I64) -> I64:
        return np.searchsorted(self.known, chunk) * self.rows // max(len(self.known), 1)


def _with_chunk(columns: Columns) -> Columns:
    known = columns["chunk"] >= 0
    return {name: column[known] for name, column in columns.items()}


def _fetches(events: pa.Table) -> Columns:
    """Chunks that were fetched, each with the time of its request."""
    fetches, requests = _with_chunk(pick(events, "fetch")), pick(events, "request")
    at = request_of(requests, fetches)
    return fetches | {name: requests[name][at] for name in ("t_ns", "dur_ns")}


def _resident(grid: _Grid, fetches: Columns, gone: Columns) -> npt.NDArray[np.float64]:
    """Chunks are in the cache from the end of their request until they are evicted, unless there was no room."""
    change = np.zeros((grid.rows, grid.columns + 1))
    kept = fetches["outcome"] == OUTCOMES.index("ok")
    np.add.at(change, (grid.row(fetches["chunk"][kept]), grid.column(ends(fetches)[kept])), 1)
    np.add.at(change, (grid.row(gone["chunk"]), grid.column(gone["t_ns"])), -1)
    each = np.maximum(np.bincount(grid.row(grid.known), minlength=grid.rows), 1)
    return np.clip(np.cumsum(change, axis=1)[:, :-1] / each[:, None], 0, 1)
