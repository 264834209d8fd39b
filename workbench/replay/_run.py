"""Set the world up, let the engine run through it, take the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from storage.plan import Layout, plan_layout
from workbench.replay._engine import DONE, run
from workbench.replay._result import Result
from workbench.replay._settings import Settings, bind_prefetch
from workbench.replay._workload import ImageLike, Workload
from workbench.replay._world import World
from workbench.replay._worlds import new_worlds

__all__ = ["replay"]


def replay(
    workload: Workload,
    image: ImageLike | Layout | None = None,
    settings: Settings | None = None,
    record: bool = False,
) -> Result:
    """Run a workload on the virtual clock.

    Parameters
    ----------
    workload
        What is read; `Workload.from_reads` lays it over an image.
    image
        That image or its `Layout`; checked only.
    settings
        Cache, link and CPU; by default an unbounded cache without prefetch.
    record
        Whether every event is kept for `Result.events`; the outcome is the same, it takes longer.

    Raises
    ------
    TraceError
        If the workload was laid over another image.
    ConfigError
        If the settings name something that there is not.
    """
    from workbench._compile import compile_engine

    settings = settings or Settings()
    if image is not None:
        workload.check(image if isinstance(image, Layout) else plan_layout(image.chunks))
    bound = bind_prefetch(settings, workload)
    worlds = new_worlds(workload, settings, record, bound)
    worlds = _run_through(worlds, compile_engine(run))
    for errors in (settings.policy.errors, bound.errors):
        if errors:
            raise errors.pop()
    return Result(workload, settings, worlds, record)


def _run_through(worlds: Sequence[World], engine: Callable[[Sequence[World]], int]) -> Sequence[World]:
    while engine(worlds) != DONE:
        out = worlds[0].out
        rows = 3 * len(worlds[0].layout.size) + 8
        log = _longer(out.log, rows) if worlds[0].model.recording else out.log
        out = out._replace(requests=_longer(out.requests, 1), log=log)
        worlds = [world._replace(out=out) for world in worlds]
    return worlds


def _longer(table: Any, rows: int) -> Any:
    """Twice as long, and at least `rows` more; what is not written to costs no memory."""
    longer = np.empty((2 * len(table) + rows, table.shape[1]), np.int64)
    longer[: len(table)] = table
    return longer
