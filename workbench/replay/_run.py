"""Set the world up, let the engine run through it, take the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from storage.backend._shape import new_link
from storage.errors import TraceError
from storage.plan import REGISTERS, Batches, Layout, Segments, cut, new_state, plan_layout, plan_options
from workbench.replay._along import widened
from workbench.replay._engine import DONE, run
from workbench.replay._result import Result
from workbench.replay._schedule import new_schedule
from workbench.replay._settings import Settings, prefetch_rows
from workbench.replay._workload import ImageLike, Workload
from workbench.replay._world import COUNTERS, LOG_COLUMNS, REQUEST_COLUMNS, Actors, Model, Out, Trace, World

__all__ = ["new_world", "replay"]


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
        _check(workload, image if isinstance(image, Layout) else plan_layout(image.chunks))
    world = new_world(workload, settings, record, settings.policy.compiled())
    world = _run_through(world, compile_engine(run))
    if settings.policy.errors:
        raise settings.policy.errors.pop()
    return Result(workload, settings, world, record)


def _check(workload: Workload, layout: Layout) -> None:
    if not all(np.array_equal(mine, other) for mine, other in zip(workload.layout, layout, strict=True)):
        raise TraceError("the workload was laid over another image; use Workload.from_reads on this one")


def _run_through(world: World, engine: Callable[[World], int]) -> World:
    while engine(world) != DONE:
        out = world.out
        rows = 3 * len(world.layout.size) + 8
        log = _longer(out.log, rows) if world.model.recording else out.log
        world = world._replace(out=out._replace(requests=_longer(out.requests, 1), log=log))
    return world


def _longer(table: Any, rows: int) -> Any:
    """Twice as long, and at least `rows` more; what is not written to costs no memory."""
    longer = np.empty((2 * len(table) + rows, table.shape[1]), np.int64)
    longer[: len(table)] = table
    return longer


def new_world(workload: Workload, settings: Settings, record: bool, policy: Any) -> World:
    """Everything at rest; `policy` holds the five functions in the form that the engine is run in."""
    layout, link, cpu = workload.layout, settings.link, settings.cpu
    options = plan_options(settings.plan, settings.amplify_io, workload.version, settings.prefetch_batch)
    ahead = prefetch_rows(settings.prefetch, workload)
    workload = widened(workload, settings.amplify_io)
    planned = settings.prefetch
    batches = planned.first if isinstance(planned, Batches) else cut(layout, options, ahead).first
    segments = _with_prefetch(workload.segments, layout, ahead)
    chunks, reads, threads = len(layout.size), len(workload), len(workload.thread_first) - 1
    workers = settings.prefetch_workers if len(ahead) else 0
    capacity = None if settings.policy.name == "none" else settings.capacity
    return World(
        layout=layout,
        state=new_state(chunks, capacity, *settings.policy.arena(chunks)),
        options=options,
        policy=policy,
        segments=segments,
        marks=np.zeros(len(segments.chunk), np.uint8),
        trace=Trace(
            first=workload.first,
            size=_sizes(workload),
            think=workload.think_ns,
            thread_first=workload.thread_first,
            program_first=workload.program_first,
            batch_first=batches + len(workload.segments.chunk),
            single=_singles(layout, options.amplify),
        ),
        model=Model(
            hit=cpu.hit_ns,
            copy=cpu.hit_ns_per_mib,
            fetch=cpu.fetch_ns,
            decode=cpu.decode_ns_per_mib,
            recording=int(record),
        ),
        link=new_link(link),
        actors=_actors(threads + workers, link.connections),
        schedule=new_schedule(threads + workers),
        count=np.zeros(COUNTERS, np.int64),
        out=_out(reads, len(workload.programs), len(segments.chunk), chunks),
    )


def _sizes(workload: Workload) -> Any:
    total = np.concatenate([[0], np.cumsum(workload.segments.length)])
    return np.diff(total[workload.first])


def _singles(layout: Layout, amplify: int) -> Any:
    following = np.append(layout.unit[1:], -1) == layout.unit
    near = (layout.end[1:] <= layout.start[:-1] + amplify) & (layout.blob[1:] == layout.blob[:-1])
    alone = (layout.unit == np.arange(len(layout.unit))) & ~following & ~np.append(near, np.False_)
    return alone.view(np.uint8)


def _with_prefetch(segments: Segments, layout: Layout, rows: Any) -> Segments:
    """Segments of reads and, behind them, those of the prefetch list: whole chunks."""
    if not len(rows):
        return segments
    return Segments(
        chunk=np.concatenate([segments.chunk, rows]),
        offset=np.concatenate([segments.offset, np.zeros(len(rows), np.int64)]),
        length=np.concatenate([segments.length, layout.size[rows]]),
    )


def _actors(actors: int, connections: int) -> Actors:
    def column(length: int = actors, fill: int = 0) -> Any:
        return np.full(length, fill, np.int64)

    return Actors(
        reg=np.zeros((actors, REGISTERS), np.int64),
        phase=column(),
        job=column(),
        since=column(),
        byte=column(),
        fetch=column(),
        slot=column(),
        tries=column(),
        queue=column(),
        holder=column(connections, -1),
        flowing=column(connections),
    )


def _out(reads: int, programs: int, segments: int, chunks: int) -> Out:
    def column(length: int, kind: Any = np.int64) -> Any:
        return np.zeros(length, kind)

    return Out(
        start=np.empty(reads, np.int64),
        dur=np.empty(reads, np.int64),
        rtt=column(reads),
        flow=column(reads),
        wait=column(reads),
        began=column(programs),
        ended=column(programs),
        requests=np.zeros((256, REQUEST_COLUMNS), np.int64),
        log=np.zeros((0, LOG_COLUMNS), np.int64),
        waited=column(segments, np.uint8),
        fresh=column(chunks, np.uint8),
        ahead=column(chunks),
        victims=column(chunks),
    )
