"""Every backend request as a bar: when it left, when its first byte came, what it brought."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.collections import PolyCollection

from workbench.view._heat import mark_programs
from workbench.view._style import CAUSES, COLOURS, Picture, bare, picture, styled
from workbench.view._table import Run, ends, origin, pick, request_of

__all__ = ["stretches", "waterfall"]

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
    """Draw all requests, first at the top: pale while nothing has come, then coloured by cause.

    Parameters
    ----------
    run
        Live or replayed.
    width, height
        In inches; the height follows the number of requests if it is not given.
    """
    spans, request, cause = stretches(run.events)
    n = int(request.max(initial=-1)) + 1
    figure = picture(width, height or min(1.6 + 0.045 * n, 9.0))
    ax = figure.add_subplot()
    used = [name for i, name in enumerate(CAUSES) if (cause == i).any()]
    bare(ax, "Every request", ["first byte", *used], mark_programs(ax, run))
    for i, name in enumerate(["first byte", *CAUSES], start=-1):
        mine = cause == i
        boxes = _boxes(spans[mine], request[mine])
        ax.add_collection(PolyCollection(boxes, facecolors=COLOURS[name], edgecolors="none", label=name))
    ax.set_xlim(0, spans.max(initial=1e-9))
    ax.set_ylim(n, 0)
    ax.set_xlabel("seconds since the start")
    ax.set_ylabel("request")
    return figure


def _boxes(spans: F64, row: I64) -> F64:
    top, bottom = row + 0.08, row + 0.92
    (left, right) = spans.T
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
