"""Time to last read over the grid of settings: a small multiple for each eviction and prefetch."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.patches import Rectangle

from workbench.view._style import COLOURS, Picture, picture, styled
from workbench.view._words import share

__all__ = ["cells", "grid"]

_RAMP: Final = LinearSegmentedColormap.from_list("time", ["#f3f7fa", "#9ec5de", "#2b7bb0", "#0b3556"])
_ON_PALE, _ON_DEEP = "#12161b", "#fdfdfe"


def cells(frame: pd.DataFrame, eviction: str, prefetch: str) -> pd.DataFrame:
    """Seconds to the last read: amplify_io down, cache share across; one column where there is no bound."""
    mine = frame[(frame["eviction"] == eviction) & (frame["prefetch"] == prefetch)]
    table = mine.pivot_table("time_to_last_read_ms", "amplify_io", "cache", aggfunc="min") / 1e3
    return table.iloc[:, -1:] if eviction == "none" else table


@styled
def grid(frame: pd.DataFrame, *, width: float = 9.0, height: float | None = None) -> Picture:
    """Draw the grid: the paler, the sooner done, equal steps being equal ratios; the best of all is framed.

    Parameters
    ----------
    frame
        What `workbench.replay.grid` returns.
    width, height
        In inches.
    """
    evictions, prefetches = (_names(frame[name]) for name in ("eviction", "prefetch"))
    tables = {(e, p): cells(frame, e, p) for e in evictions for p in prefetches}
    times = np.concatenate([table.to_numpy().ravel() for table in tables.values()])
    norm = LogNorm(np.nanmin(times), np.nanmax(times))
    lines = sum(len(tables[evictions[0], p]) for p in prefetches)
    figure = picture(width, height or 1.1 + 0.2 * len(prefetches) + 0.34 * lines)
    figure.suptitle("Seconds to the last read", x=0.006, ha="left", fontsize=10, fontweight="bold")
    ratios = [max(tables[e, prefetches[0]].shape[1], 1.4) for e in evictions]
    axes = figure.subplots(len(prefetches), len(evictions), squeeze=False, width_ratios=ratios)
    for (i, j), ax in np.ndenumerate(axes):
        table = tables[evictions[j], prefetches[i]]
        _panel(ax, table, norm, narrow=width < 7)
        _labels(ax, table, evictions[j], prefetches[i], outer=(i == 0, i == len(prefetches) - 1, j == 0))
    figure.supxlabel("cache, % of the bytes that the trace touches", fontsize=8.5, color=COLOURS["muted"])
    figure.supylabel("amplify_io", fontsize=8.5, color=COLOURS["muted"])
    return figure


def _names(column: pd.Series[str]) -> list[str]:
    """``none`` first, the others by name: the same place in every picture, whoever wins."""
    return sorted(column.unique(), key=lambda name: (name != "none", name))


def _panel(ax: Axes, table: pd.DataFrame, norm: Normalize, *, narrow: bool) -> None:
    values = table.to_numpy()
    ax.imshow(values, cmap=_RAMP, norm=norm, aspect="auto", interpolation="none")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        best = value == norm.vmin
        ink = _ON_DEEP if norm(value) > 0.5 else _ON_PALE
        ax.text(
            column, row, _short(value, 1 if narrow else 2), ha="center", va="center", color=ink,
            fontsize=6 if narrow else 8, fontweight="bold" if best else "normal",
        )  # fmt: skip
        if best:
            frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=COLOURS["refetch"], linewidth=2)
            frame.set_clip_on(False)
            frame.set_zorder(5)
            ax.add_patch(frame)


def _labels(ax: Axes, table: pd.DataFrame, eviction: str, prefetch: str, outer: tuple[bool, bool, bool]) -> None:
    top, bottom, left = outer
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    shares: npt.NDArray[np.float64] = table.columns.to_numpy(dtype=np.float64)
    names = ["∞"] if eviction == "none" else [f"{100 * share_:g}" for share_ in shares]
    ax.set_xticks(range(len(names)), names if bottom else [])
    ax.set_yticks(range(len(table)), [share(int(size)) for size in table.index] if left else [])
    if top:
        ax.set_title(eviction, fontsize=9, color=COLOURS["ink"])
    if left:
        ax.set_ylabel(f"prefetch {prefetch}" if prefetch == "none" else prefetch, color=COLOURS["ink"], labelpad=7)


def _short(seconds: float, places: int) -> str:
    return f"{seconds:.{0 if seconds >= 100 else 1 if seconds >= 10 else places}f}"
