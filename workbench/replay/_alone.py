"""Reads of which nobody else notices anything: one after the other, without a step of the clock between.

Does what the planner would, without its registers and pins, and what the link would for the only
transfer on it. Numba's subset. That it makes no difference is shown by replays that record,
which never come here.
"""

from __future__ import annotations

from storage.backend._link import CAP, FOREVER, NEXT, NOW, RTT, SENT, WINDOW, send, tries_of_next
from storage.plan import ABSENT, BLOCKED, CAPACITY, EXACT, LEAVING, READY, STORING, evicted, spend, take_in
from workbench.replay._schedule import at
from workbench.replay._world import Count, Request, World

__all__ = ["read_on"]

_MIB_SHIFT = 20
_SECOND = 1_000_000_000


def read_on(world: World, actor: int, t: int) -> int:
    """Reads of which every chunk is ready, or that fetch one chunk, for as long as nothing else happens.

    Pins matter only to an eviction between the start of a read and its end, which takes a request
    that lands there: where none is under way, none can within a round trip. Returns when the read
    that it leaves to the planner starts, or -1 if it is not yet time for it.
    """
    model = world.model
    if model.recording != 0 or model.reactive != 0 or model.open_loop != 0:
        return t
    if world.count[Count.BEGUN] <= model.warm_up:
        return t  # which reads are of the warm-up is told by the turns that they take
    trace, status, state, policy = world.trace, world.state.status, world.state, world.policy
    first, size, think, chunks = trace.first, trace.size, trace.think, world.segments.chunk
    start, dur, unread, ints, floats = world.out.start, world.out.dur, world.unread, state.ints, state.floats
    hit_ns, copy_ns = model.hit, model.copy
    exact, quiet = world.options.plan == EXACT, _quiet(world)
    prefetching, single = len(trace.batch_first) > 1, trace.single
    at(world.schedule, actor, FOREVER)
    horizon = min(world.schedule.time[world.schedule.winner[1]], world.count[Count.LINK_CHANGE])
    alone = exact and not prefetching and _is_idle(world)
    read, last, asked, reads, hits = world.actors.job[actor], trace.thread_first[actor + 1] - 1, 0, 0, 0
    while read < last:
        begin, end = first[read], first[read + 1]
        if begin == end or not (exact or end - begin == 1):
            break
        pos = begin
        while pos < end and status[chunks[pos]] == READY:
            pos += 1
        if pos == end:
            cost = hit_ns + (size[read] * copy_ns >> _MIB_SHIFT)
            if t + cost >= horizon and cost >= quiet:
                break
            for pos in range(begin, end):
                policy.on_hit(ints, floats, chunks[pos])
                if prefetching and unread[chunks[pos]] != 0:
                    world.count[Count.USED] += 1
                    unread[chunks[pos]] = 0
            asked += size[read]
            hits += 1
        else:
            fetches = alone and end - begin == 1 and single[chunks[begin]] != 0
            cost = _fetch(world, actor, read, t, horizon) if fetches else -1
            if cost < 0:
                break
        start[read] = t
        dur[read] = cost
        reads += 1
        read += 1
        t += cost + think[read]
        if t >= horizon:
            break
    world.actors.job[actor] = read
    world.count[Count.BEGUN] += reads
    if prefetching:
        spend(world.budget, asked)
    world.count[Count.HIT] += asked
    world.count[Count.HITS] += hits
    at(world.schedule, actor, t)
    return -1 if reads > 0 and t >= horizon else t


def _quiet(world: World) -> int:
    """For how long from now on nothing can be evicted, whatever is asked meanwhile."""
    if world.state.counters[CAPACITY] < 0:
        return FOREVER
    return int(world.link.clock[RTT]) if world.count[Count.LANDED] == world.count[Count.REQUESTS] else 0


def _is_idle(world: World) -> bool:
    """Whether the next request would be the only one, on a link whose connections do not start slowly."""
    clock, counters = world.link.clock, world.state.counters
    settled = world.count[Count.LANDED] == world.count[Count.REQUESTS] and counters[BLOCKED] == 0
    return bool(settled and (clock[WINDOW] == 0 or clock[RTT] == 0))


def _fetch(world: World, actor: int, read: int, t: int, horizon: int) -> int:
    """One chunk from the backend for a read of it alone; how long the read takes, or -1 if others may notice."""
    pos = world.trace.first[read]
    chunk, clock, requests = world.segments.chunk[pos], world.link.clock, world.out.requests
    length = world.layout.end[chunk] - world.layout.start[chunk]
    least = t + clock[RTT]
    full = world.count[Count.REQUESTS] + 1 >= len(requests)
    if least >= horizon or full or length == 0 or world.state.status[chunk] != ABSENT:
        return -1
    tries, sent, following = tries_of_next(world.link), clock[SENT], clock[NEXT]
    size = world.layout.size[chunk]
    byte = send(world.link, t)
    landed = byte - (-length * _SECOND // clock[CAP])
    done = landed + world.model.fetch + (size * world.model.decode >> _MIB_SHIFT)
    if done >= horizon or tries < 0:
        clock[SENT], clock[NEXT] = sent, following
        return -1
    clock[NOW] = world.link.idle[0] = landed
    world.link.limit[0] = clock[CAP]
    _note(world, actor, read, chunk, tries, t, byte, landed)
    _keep(world, chunk)
    return int(done - t)


def _note(world: World, actor: int, read: int, chunk: int, tries: int, t: int, byte: int, landed: int) -> None:
    """The request, and the read's share of it."""
    count, out, layout = world.count, world.out, world.layout
    row = out.requests[count[Count.REQUESTS]]
    row[:] = 0
    row[Request.T], row[Request.DUR], row[Request.TTFB] = t, landed - t, byte - t
    row[Request.READ], row[Request.FIRST], row[Request.LAST] = read, chunk, chunk
    row[Request.OFFSET] = layout.start[chunk]
    row[Request.LENGTH] = row[Request.DEMAND] = layout.end[chunk] - layout.start[chunk]
    row[Request.TRIES] = tries
    row[Request.CLIENT] = world.actors.client[actor]
    out.rtt[read] = byte - t
    out.flow[read] = landed - byte
    count[Count.REQUESTS] += 1
    count[Count.LANDED] += 1
    count[Count.RETRIES] += tries - 1
    count[Count.FETCHED] += world.segments.length[world.trace.first[read]]
    count[Count.CHUNKS] += 1
    count[Count.DECODED] += layout.size[chunk]


def _keep(world: World, chunk: int) -> None:
    """Admit the chunk, which is written before anybody looks again."""
    state, victims = world.state, world.out.victims
    gone = take_in(world.layout, state, world.policy, chunk, state.counters[LEAVING], victims, 0)
    for index in range(gone):
        world.count[Count.EVICTED] += world.layout.size[victims[index]]
        evicted(world.layout, state, victims[index])
    world.count[Count.EVICTIONS] += gone
    if state.status[chunk] == STORING:
        state.status[chunk] = READY
        state.pins[chunk] -= 1
