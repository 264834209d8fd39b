"""Set the world up, let the engine run through it, take the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from storage.backend._shape import new_link
from storage.errors import TraceError
from storage.plan import (
    REGISTERS,
    Layout,
    Options,
    Segments,
    State,
    batch_end,
    new_queue,
    new_state,
    plan_layout,
    plan_options,
    plan_windows,
)
from workbench.policy.prefetch import Bound
from workbench.replay._engine import DONE, run
from workbench.replay._result import Result
from workbench.replay._schedule import new_schedule
from workbench.replay._settings import Settings, bind_prefetch
from workbench.replay._workload import ImageLike, Workload
from workbench.replay._world import (
    CLIENT_COLUMNS,
    COUNTERS,
    LOG_COLUMNS,
    REQUEST_COLUMNS,
    RUN,
    Actors,
    Clients,
    Count,
    Model,
    Out,
    Trace,
    World,
)

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
    bound = bind_prefetch(settings, workload)
    world = new_world(workload, settings, record, settings.policy.compiled(), bound)
    world = _run_through(world, compile_engine(run))
    for errors in (settings.policy.errors, bound.errors):
        if errors:
            raise errors.pop()
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


def new_world(workload: Workload, settings: Settings, record: bool, policy: Any, bound: Bound) -> World:
    """Everything at rest; `policy` holds the five functions in the form that the engine is run in."""
    layout, link, cpu = workload.layout, settings.link, settings.cpu
    options = plan_options(settings.plan, settings.amplify_io)
    batches = _batches(layout, options, bound.rows)
    chunks, threads, clients = len(layout.size), len(workload.thread_first) - 1, len(workload.client_start)
    workers = settings.prefetch_workers if len(bound.rows) or bound.ahead else 0
    segments = _with_prefetch(workload.segments, layout, bound.rows, clients * workers if bound.ahead else 0)
    client = np.concatenate([_client_of_threads(workload), np.repeat(np.arange(clients), workers)])
    count = np.zeros(COUNTERS, np.int64)
    count[Count.BEGUN] = -1
    return World(
        layout=layout,
        state=_states(settings, layout, options, clients),
        options=options,
        policy=policy,
        segments=segments,
        marks=np.zeros(len(segments.chunk), np.uint8),
        trace=Trace(
            first=workload.first,
            size=_sizes(workload),
            think=workload.think_ns,
            due=workload.due_ns,
            thread_first=workload.thread_first,
            program_first=workload.program_first,
            client_first=workload.client_first,
            client_start=workload.client_start,
            batch_first=batches + len(workload.segments.chunk),
            meta=workload.meta if settings.cold_open else np.zeros((0, 3), np.int64),
        ),
        model=Model(
            hit=cpu.hit_ns,
            copy=cpu.hit_ns_per_mib,
            fetch=cpu.fetch_ns,
            decode=cpu.decode_ns_per_mib + cpu.verify_ns_per_mib,
            workers=workers,
            rate=settings.prefetch_rate,
            reactive=int(bound.ahead is not None),
            open_loop=int(settings.loop == "open"),
            warm_up=settings.warm_up or -1,
            recording=int(record),
        ),
        link=new_link(link),
        actors=_actors(client, link.connections, cpu.workers),
        clients=_clients(bound, clients, chunks),
        schedule=new_schedule(threads + clients * workers),
        count=count,
        out=_out(len(workload), len(workload.programs), len(segments.chunk), chunks, clients),
    )


def _client_of_threads(workload: Workload) -> Any:
    threads = workload.program_first[workload.client_first]
    return np.repeat(np.arange(len(threads) - 1), np.diff(threads))


def _states(settings: Settings, layout: Layout, options: Options, clients: int) -> State:
    """A row for each client."""
    chunks = len(layout.size)
    capacity = None if settings.policy.name == "none" else settings.capacity
    windows = plan_windows(layout, options.amplify if isinstance(settings.amplify_io, int) else settings.amplify_io)
    one = new_state(chunks, capacity, *settings.policy.arena(chunks), windows)
    return State(*(np.repeat(array[None], clients, axis=0) for array in one))


def _clients(bound: Bound, clients: int, chunks: int) -> Clients:
    ints = np.zeros(1, np.int64) if bound.ahead is None else bound.ahead.ints
    floats = np.zeros(1, np.float64) if bound.ahead is None else bound.ahead.floats
    queue = new_queue(chunks if bound.ahead else 1)
    return Clients(
        count=np.zeros((clients, CLIENT_COLUMNS), np.int64),
        rows=np.repeat(queue.rows[None], clients, axis=0),
        ends=np.repeat(queue.ends[None], clients, axis=0),
        on_read=bound.compiled(),
        ints=np.repeat(ints[None], clients, axis=0),
        floats=np.repeat(floats[None], clients, axis=0),
        first_ints=ints,
        first_floats=floats,
        out=np.zeros(max(chunks, 1), np.int64),
    )


def _sizes(workload: Workload) -> Any:
    total = np.concatenate([[0], np.cumsum(workload.segments.length)])
    return np.diff(total[workload.first])


def _batches(layout: Layout, options: Any, rows: Any) -> Any:
    """Where each batch of a prefetch list begins, and where the last ends."""
    ends = [0]
    while ends[-1] < len(rows):
        ends.append(batch_end(layout, options, rows, ends[-1]))
    return np.array(ends, np.int64)


def _with_prefetch(segments: Segments, layout: Layout, rows: Any, workers: int) -> Segments:
    """Segments of reads; behind them those of the prefetch list, whole chunks; and room for each worker's batch."""
    room = np.zeros(workers * RUN, np.int64)
    return Segments(
        chunk=np.concatenate([segments.chunk, rows, room]),
        offset=np.concatenate([segments.offset, np.zeros(len(rows), np.int64), room]),
        length=np.concatenate([segments.length, layout.size[rows], room]),
    )


def _actors(client: Any, connections: int, cores: int) -> Actors:
    actors = len(client)

    def column(length: int = actors, fill: int = 0) -> Any:
        return np.full(length, fill, np.int64)

    return Actors(
        reg=np.zeros((actors, REGISTERS), np.int64),
        client=client.astype(np.int64),
        phase=column(),
        job=column(),
        since=column(),
        byte=column(),
        fetch=column(),
        slot=column(),
        tries=column(),
        late=column(),
        queue=column(),
        holder=column(connections, -1),
        flowing=column(connections),
        cores=column(cores),
    )


def _out(reads: int, programs: int, segments: int, chunks: int, clients: int) -> Out:
    def column(length: int, kind: Any = np.int64) -> Any:
        return np.zeros(length, kind)

    return Out(
        start=column(reads),
        dur=column(reads),
        rtt=column(reads),
        flow=column(reads),
        wait=column(reads),
        late=column(reads),
        began=column(programs),
        ended=column(programs),
        requests=np.zeros((256, REQUEST_COLUMNS), np.int64),
        log=np.zeros((0, LOG_COLUMNS), np.int64),
        waited=column(segments, np.uint8),
        fresh=column(chunks, np.uint8),
        ahead=np.zeros((clients, chunks), np.int64),
        evicted=column(chunks),
        victims=column(chunks),
    )
