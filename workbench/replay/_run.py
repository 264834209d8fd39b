"""Set the world up, let the engine run through it, take the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from storage.backend._shape import new_link
from storage.plan import (
    LONGEST,
    REGISTERS,
    Ahead,
    Batches,
    Layout,
    Segments,
    cut,
    keep_all,
    new_budget,
    new_queue,
    new_state,
    plan_layout,
    plan_options,
    reach,
    windows,
)
from workbench import policy as policies
from workbench.policy import EvictionPolicy
from workbench.policy.prefetch import Bound
from workbench.replay._along import widened
from workbench.replay._engine import DONE, run
from workbench.replay._result import Result
from workbench.replay._schedule import new_schedule
from workbench.replay._settings import Settings, amplify_of, bind_prefetch
from workbench.replay._workload import ImageLike, Workload
from workbench.replay._world import (
    COUNTERS,
    LOG_COLUMNS,
    OWN_COLUMNS,
    REQUEST_COLUMNS,
    Actors,
    Model,
    Out,
    Own,
    Suggesting,
    Trace,
    World,
)

__all__ = ["new_worlds", "replay"]

# Of requests, for a start: memory that is not written to is none, and longer tables have to be copied.
_ROWS = 1 << 20
_none = policies.get("none")


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


def _policy_of(settings: Settings, layout: Layout) -> EvictionPolicy:
    """The policy; none where all there is has room, as in the live cache."""
    own, room = settings.policy, settings.watermarks[1] if settings.watermarks else settings.capacity
    holds_all = room is None or int(layout.size.sum()) <= room
    return _none if holds_all and own.functions.admits is keep_all.admits else own


def new_worlds(workload: Workload, settings: Settings, record: bool, bound: Bound) -> Sequence[World]:
    """Everything at rest, by client."""
    policy = _policy_of(settings, workload.layout)
    layout, cpu, amplify = workload.layout, settings.cpu, amplify_of(settings, workload)
    options = plan_options(settings.plan, amplify, workload.version, settings.prefetch_batch)
    workload = widened(workload, reach(amplify))
    listed = bound.rows if isinstance(bound.rows, Batches) else cut(layout, options, bound.rows)
    clients, threads = len(workload.client_start), len(workload.thread_first) - 1
    workers = settings.prefetch_workers if len(listed.rows) or bound.ahead else 0
    segments = _with_prefetch(workload.segments, layout, listed.rows, clients * workers if bound.ahead else 0)
    chunks, actors = len(layout.size), threads + clients * workers
    connections = max(min(settings.link.connections, actors), 1)  # each actor has one request at a time
    window = windows(amplify, chunks) * (workload.version != 5)
    capacity = None if policy is _none else settings.capacity
    marks = None if capacity is None else settings.watermarks
    on_read = bound.compiled()
    first = World(
        layout=layout,
        state=new_state(chunks, capacity, *policy.arena(chunks), marks, window),
        own=np.zeros(OWN_COLUMNS, np.int64),
        ahead=_suggesting(bound, on_read, chunks),
        unread=np.zeros(chunks, np.int64),
        budget=_budget(settings.prefetch_bandwidth, 0),
        options=options,
        policy=policy.compiled(),
        segments=segments,
        marks=np.zeros(len(segments.chunk), np.uint8),
        trace=Trace(
            first=workload.first,
            think=workload.think_ns,
            due=workload.due_ns,
            thread_first=workload.thread_first,
            program_first=workload.program_first,
            batch_first=listed.first + len(workload.segments.chunk),
            single=_singles(layout, window) if options.limit == 0 else np.zeros(chunks, np.uint8),
        ),
        model=Model(
            hit=cpu.hit_ns,
            copy=cpu.hit_ns_per_mib,
            fetch=cpu.fetch_ns,
            decode=cpu.decode_ns_per_mib,
            wake=cpu.wake_ns,
            recording=int(record),
            reactive=int(bound.ahead is not None),
            open_loop=int(settings.loop == "open"),
            warm_up=settings.warm_up or -1,
        ),
        link=new_link(replace(settings.link, connections=connections)),
        actors=_actors(_client_of_actors(workload, workers), connections),
        schedule=new_schedule(actors),
        count=np.zeros(COUNTERS, np.int64),
        out=_out(len(workload), len(workload.programs), len(segments.chunk), chunks),
    )
    worlds = [
        first._replace(
            state=type(first.state)(*(array.copy() for array in first.state)),
            own=first.own.copy(),
            ahead=_suggesting(bound, on_read, chunks),
            unread=first.unread.copy(),
            budget=_budget(settings.prefetch_bandwidth, start),
        )
        for start in workload.client_start.tolist()
    ]
    for client, world in enumerate(worlds):
        world.own[[Own.PROGRAM, Own.PROGRAMS]] = workload.client_first[client : client + 2]
        world.own[[Own.WORKER, Own.WORKERS]] = threads + client * workers, threads + (client + 1) * workers
        world.own[Own.CLIENT] = client
        world.own[Own.START] = workload.client_start[client]
    return worlds


def _budget(bandwidth: int, start: int) -> Any:
    return new_budget(bandwidth, start) if bandwidth else np.zeros(4, np.int64)


def _suggesting(bound: Bound, on_read: Any, chunks: int) -> Suggesting:
    """A client's prefetch policy, with memory of its own."""
    ints, floats = np.zeros(1, np.int64), np.zeros(1, np.float64)
    if bound.ahead is not None:
        ints, floats = np.asarray(bound.ahead.ints), np.asarray(bound.ahead.floats)
    queue = new_queue(chunks if bound.ahead else 1)
    return Suggesting(
        Ahead(on_read, ints.copy(), floats.copy()), queue, ints, floats, np.zeros(max(chunks, 1), np.int64)
    )


def _client_of_actors(workload: Workload, workers: int) -> Any:
    threads, clients = workload.program_first[workload.client_first], len(workload.client_start)
    return np.concatenate([np.repeat(np.arange(clients), np.diff(threads)), np.repeat(np.arange(clients), workers)])


def _singles(layout: Layout, window: Any) -> Any:
    following = np.append(layout.unit[1:], -1) == layout.unit
    near = (layout.end[1:] <= layout.start[:-1] + window[:-1]) & (layout.blob[1:] == layout.blob[:-1])
    alone = (layout.unit == np.arange(len(layout.unit))) & ~following & ~np.append(near, np.False_)
    return alone.view(np.uint8)


def _with_prefetch(segments: Segments, layout: Layout, rows: Any, workers: int) -> Segments:
    """Segments of reads; behind them those of the prefetch list, whole chunks; and room for each worker's batch."""
    room = np.zeros(workers * LONGEST, np.int64)
    if not len(rows) and not len(room):
        return segments
    return Segments(
        chunk=np.concatenate([segments.chunk, rows, room]),
        offset=np.concatenate([segments.offset, np.zeros(len(rows), np.int64), room]),
        length=np.concatenate([segments.length, layout.size[rows], room]),
    )


def _actors(client: Any, connections: int) -> Actors:
    actors = len(client)

    def column(length: int = actors, fill: int = 0) -> Any:
        return np.full(length, fill, np.int64)

    return Actors(
        reg=np.zeros((actors, REGISTERS), np.int64),
        client=client.astype(np.int64),
        late=column(),
        phase=column(),
        job=column(),
        began=column(),
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
        dur=np.empty(reads, np.int64),
        wait=column(reads),
        late=column(reads),
        began=column(programs),
        ended=column(programs),
        requests=np.empty((min(reads + 256, _ROWS), REQUEST_COLUMNS), np.int64),
        log=np.zeros((0, LOG_COLUMNS), np.int64),
        waited=column(segments, np.uint8),
        fresh=column(chunks, np.uint8),
        victims=column(chunks),
    )
