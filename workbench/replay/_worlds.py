"""The world in which a replay takes place, before anything has happened."""

from __future__ import annotations

from collections.abc import Sequence
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
    State,
    cut,
    keep_all,
    new_budget,
    new_queue,
    new_state,
    plan_options,
    reach,
    windows,
)
from workbench import policy as policies
from workbench.policy import EvictionPolicy
from workbench.policy.prefetch import Bound
from workbench.replay._along import widened
from workbench.replay._schedule import new_schedule
from workbench.replay._settings import Settings, amplify_of
from workbench.replay._workload import Workload
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

__all__ = ["new_worlds"]

# Of requests, for a start: memory that is not written to is none, and longer tables have to be copied.
_ROWS = 1 << 20
_none = policies.get("none")


def new_worlds(workload: Workload, settings: Settings, record: bool, bound: Bound) -> Sequence[World]:
    """Everything at rest, by client."""
    layout, amplify = workload.layout, amplify_of(settings, workload)
    options = plan_options(settings.plan, amplify, workload.version, settings.prefetch_batch)
    workload = widened(workload, reach(amplify))
    window = windows(amplify, len(layout.size)) * (workload.version != 5)
    listed = bound.rows if isinstance(bound.rows, Batches) else cut(layout, options, bound.rows)
    workers = settings.prefetch_workers if len(listed.rows) or bound.ahead else 0
    policy = _policy_of(settings, layout)
    single = _singles(layout, window) if options.limit == 0 else np.zeros(len(layout.size), np.uint8)
    shared = {
        "layout": layout,
        "options": options,
        "policy": policy.compiled(),
        "trace": _trace(workload, listed, single),
        "model": _model(settings, record, bound),
        **_parts(workload, settings, listed, workers, workers if bound.ahead else 0),
    }
    on_read = bound.compiled()
    return [
        World(
            **shared,
            state=_state(layout, settings, policy, window),
            own=_own(workload, client, workers),
            ahead=_suggesting(bound, on_read, len(layout.size)),
            unread=np.zeros(len(layout.size), np.int64),
            budget=_budget(settings.prefetch_bandwidth, int(start)),
        )
        for client, start in enumerate(workload.client_start)
    ]


def _policy_of(settings: Settings, layout: Layout) -> EvictionPolicy:
    """The policy; none where all there is has room, as in the live cache."""
    own, room = settings.policy, settings.watermarks[1] if settings.watermarks else settings.capacity
    holds_all = room is None or int(layout.size.sum()) <= room
    return _none if holds_all and own.functions.admits is keep_all.admits else own


def _trace(workload: Workload, listed: Batches, single: Any) -> Trace:
    return Trace(
        first=workload.first,
        think=workload.think_ns,
        due=workload.due_ns,
        thread_first=workload.thread_first,
        program_first=workload.program_first,
        batch_first=listed.first + len(workload.segments.chunk),
        single=single,
    )


def _model(settings: Settings, record: bool, bound: Bound) -> Model:
    cpu = settings.cpu
    return Model(
        hit=cpu.hit_ns,
        copy=cpu.hit_ns_per_mib,
        fetch=cpu.fetch_ns,
        decode=cpu.decode_ns_per_mib,
        wake=cpu.wake_ns,
        recording=int(record),
        reactive=int(bound.ahead is not None),
        open_loop=int(settings.loop == "open"),
        warm_up=settings.warm_up or -1,
    )


def _parts(workload: Workload, settings: Settings, listed: Batches, workers: int, suggesting: int) -> dict[str, Any]:
    """What all clients take part in; `workers` of each prefetch, and so many of them what is suggested."""
    clients = _client_of_actors(workload, workers)
    connections = max(min(settings.link.connections, len(clients)), 1)  # each actor has one request at a time
    rooms = len(workload.client_start) * suggesting
    segments = _with_prefetch(workload.segments, workload.layout, listed.rows, rooms)
    return {
        "segments": segments,
        "marks": np.zeros(len(segments.chunk), np.uint8),
        "link": new_link(replace(settings.link, connections=connections)),
        "actors": _actors(clients, connections),
        "schedule": new_schedule(len(clients)),
        "count": np.zeros(COUNTERS, np.int64),
        "out": _out(len(workload), len(workload.programs), len(segments.chunk), len(workload.layout.size)),
    }


def _state(layout: Layout, settings: Settings, policy: EvictionPolicy, window: Any) -> State:
    capacity = None if policy is _none else settings.capacity
    marks = None if capacity is None else settings.watermarks
    return new_state(len(layout.size), capacity, *policy.arena(len(layout.size)), marks, window)


def _own(workload: Workload, client: int, workers: int) -> Any:
    own, threads = np.zeros(OWN_COLUMNS, np.int64), len(workload.thread_first) - 1
    own[[Own.PROGRAM, Own.PROGRAMS]] = workload.client_first[client : client + 2]
    own[[Own.WORKER, Own.WORKERS]] = threads + client * workers, threads + (client + 1) * workers
    own[[Own.CLIENT, Own.START]] = client, workload.client_start[client]
    return own


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
