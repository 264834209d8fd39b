"""Every backend request as a bar: when it left, when its first byte came, what it brought.

Time is folded like text, line after line, so that a request stays wide enough to be looked at.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.collections import PolyCollection

from workbench.view._style import CAUSES, COLOURS, Picture, bare, picture, styled
from workbench.view._table import Run, ends, origin, pick, request_of, spread, tracks

__all__ = ["folded", "stretches", "waterfall"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def stretches(events: pa.Table) -> tuple[F64, I64, I64]:
    """Cut each request into stretches: the wait for its first byte, then its bytes cause by cause.

    Returns
    -------
    spans : (n, 2) float64
        Start and end in seconds since the first event.
    request : (n,) int64
        Which request, in the order of their start.
    cause : (n,) int64
        Position in `CAUSES`; -1 for the wait.
    """
    requests, fetches = pick(events, "request"), pick(events, "fetch")
    n = len(requests["t_ns"])
    start = origin(events)
    left = (requests["t_ns"] - start) / 1e9
    first = left + requests["ttfb_ns"] / 1e9
    spans, which, causes = [np.stack([left, first], axis=1)], [np.arange(n)], [np.full(n, -1)]
    at = request_of(requests, fetches)
    rate = ((ends(requests) - start) / 1e9 - first) / np.maximum(requests["length"], 1)
    for cause in range(len(CAUSES)):
        mine = fetches["cause"] == cause
        brought = np.bincount(at[mine], fetches["length"][mine], n)
        some = np.flatnonzero(brought)
        until = first + brought * rate
        spans.append(np.stack([first, until], axis=1)[some])
        which.append(some)
        causes.append(np.full(len(some), cause))
        first = until
    return np.concatenate(spans), np.concatenate(which), np.concatenate(causes)


@styled
def waterfall(run: Run, *, width: float = 9.0, height: float | None = None) -> Picture:
    """Draw all requests: pale until the first byte, then coloured by cause; concurrent ones lie below each other.

    Parameters
    ----------
    run
        Live or replayed.
    width, height
        In inches; the height follows the number of lines and of concurrent requests if it is not given.
    """
    spans, request, cause = stretches(run.events)
    track = tracks(pick(run.events, "request"))[request]
    line_s = _line(float(spans.max(initial=1e-3)), lines=int(width * 1.4))
    which, lines, sides = folded(spans, line_s)
    tops = _tops(lines, track[which])
    figure = picture(width, height or min(1.1 + 0.13 * tops[-1], 9.0))
    ax = figure.add_subplot()
    bare(ax, "Every request", ["first byte", *(name for i, name in enumerate(CAUSES) if (cause == i).any())])
    ax.barh(tops[:-1], line_s, 0.8, align="edge", color=COLOURS["wash"])
    for i, name in enumerate(["first byte", *CAUSES], start=-1):
        mine = cause[which] == i
        boxes = _boxes(sides[mine], tops[lines[mine]] + track[which][mine])
        ax.add_collection(PolyCollection(boxes, facecolors=COLOURS[name], edgecolors="none", label=name, zorder=2))
    ax.set_xlim(0, line_s)
    ax.set_ylim(tops[-1], -0.2)
    ax.set_yticks(tops[:-1] + 0.4, [f"{i * line_s:g} s" for i in range(len(tops) - 1)])
    ax.set_xlabel("seconds into the line")
    return figure


def folded(spans: F64, line_s: float) -> tuple[I64, I64, F64]:
    """Stretches of time cut at the ends of lines: which stretch, on which line, from where to where on it."""
    first = (spans[:, 0] / line_s).astype(np.int64)
    last = np.maximum(np.ceil(spans[:, 1] / line_s).astype(np.int64) - 1, first)
    which, line = spread(first, last - first + 1)
    return which, line, np.clip(spans[which] - line[:, None] * line_s, 0, line_s)


def _tops(line: I64, track: I64) -> F64:
    """Where each line begins, downwards, in tracks: a line is as high as its tracks and a gap; at the end, the foot."""
    deep = np.zeros(int(line.max(initial=0)) + 1)
    np.maximum.at(deep, line, track)
    return np.concatenate([[0.0], np.cumsum(deep + 1.7)])


def _boxes(sides: F64, top: F64) -> list[F64]:
    left, right = sides.T
    corners = [(left, top), (right, top), (right, top + 0.8), (left, top + 0.8)]
    return list(np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1))


def _line(total_s: float, lines: int) -> float:
    """The shortest round length of a line for which there are no more than `lines`."""
    power = 10.0 ** np.floor(np.log10(total_s / lines))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power * lines >= total_s))
