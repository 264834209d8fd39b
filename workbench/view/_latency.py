"""How long reads took: cumulative distributions on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workbench.view._style import COLOURS, Picture, bare, picture, styled
from workbench.view._table import Run, pick
from workbench.view._words import duration

__all__ = ["cdf", "latency"]

_LINES: Final = (("run1", "-"), ("run2", (0, (4, 1.5))), ("run3", "-"), ("run4", (0, (1, 1))))


def cdf(run: Run) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Latencies of reads in nanoseconds, sorted, at least 1; and the percentage of reads within each."""
    taken = np.sort(np.maximum(pick(run.events, "read")["dur_ns"], 1)).astype(np.float64)
    return taken, 100 * np.arange(1, len(taken) + 1) / max(len(taken), 1)


@styled
def latency(runs: Sequence[Run], *, width: float = 9.0, height: float = 3.4) -> Picture:
    """Draw the latency of reads, one line a run, at most four.

    Parameters
    ----------
    runs
        Live or replayed; each is labelled with its name and two quantiles.
    width, height
        In inches.
    """
    figure = picture(width, height)
    ax = figure.add_subplot()
    bare(ax, "How long a read takes")
    for i, run in enumerate(runs):
        _line(ax, run, i, len(runs))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=9))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: duration(x).replace(".00", "").replace(".0 ", " ")))
    ax.set_ylim(0, 102)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
    ax.set_yticks([0, 25, 50, 75, 100])
    ax.grid(axis="y")
    ax.set_ylabel("reads that took no longer")
    return figure


def _line(ax: Axes, run: Run, i: int, of: int) -> None:
    taken, reached = cdf(run)
    if not len(taken):
        return
    name, dash = _LINES[i % len(_LINES)]
    x, y = np.insert(taken, 0, taken[0]), np.insert(reached, 0, 0)
    ax.step(x, y, where="post", linestyle=dash, color=COLOURS[name], linewidth=1.6)
    p50, p99 = (float(np.quantile(taken, q, method="higher")) for q in (0.5, 0.99))
    ax.plot([p50, p99], [50, 99], "o", color=COLOURS[name], markersize=4.5)
    text = f"{run.name}: p50 {duration(p50)}, p99 {duration(p99)}"
    at = (0.985, 0.05 + 0.09 * (of - 1 - i))
    ax.annotate(text, at, xycoords="axes fraction", ha="right", color=COLOURS[name], fontweight="bold", fontsize=8.5)
