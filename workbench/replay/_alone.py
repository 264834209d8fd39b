"""Reads of which nobody else notices anything: one thread's after another's, without a step of the clock between.

Does what the planner would, without its registers and pins, and what the link would for the only
transfer on it. Numba's subset. That it makes no difference is shown by replays that record,
which never come here.
"""

from __future__ import annotations

from storage.backend._link import CAP, FOREVER, NEXT, NOW, RTT, SENT, WINDOW, send, tries_of_next
from storage.plan import ABSENT, BLOCKED, CAPACITY, EXACT, LEAVING, READY, STORING, evicted, spend, take_in
from workbench.replay._schedule import at
from workbench.replay._world import Count, Own, Phase, Request, World

__all__ = ["read_on"]

_MIB_SHIFT = 20
_SECOND = 1_000_000_000


def read_on(world: World, actor: int, t: int) -> int:
    """Reads of which every chunk is ready, or that fetch one chunk, for as long as nothing but such a read is next.

    Returns the actor whose read is next and is left to the planner, or -1 if something else is next.
    """
    if _is_watched(world):
        return actor
    trace, status, state, policy = world.trace, world.state.status, world.state, world.policy
    first, think, chunks, length = trace.first, trace.think, world.segments.chunk, world.segments.length
    job, schedule, dur, unread = world.actors.job, world.schedule, world.out.dur, world.unread
    ints, floats, hit_ns, copy_ns = state.ints, state.floats, world.model.hit, world.model.copy
    exact, prefetching = world.options.plan == EXACT, len(trace.batch_first) > 1
    longest, until = _unpinned(world)
    alone = exact and not prefetching and _is_idle(world)
    asked, reads, hits = 0, 0, 0
    while True:
        read = job[actor]
        begin, end = first[read], first[read + 1]
        if read + 1 == trace.thread_first[actor + 1] or begin == end or not (exact or end - begin == 1):
            break
        pos, size = begin, 0
        while pos < end and status[chunks[pos]] == READY:
            size += length[pos]
            pos += 1
        if pos == end:
            cost = hit_ns + (size * copy_ns >> _MIB_SHIFT)
            if cost >= longest or t + cost >= until:
                break
            for pos in range(begin, end):
                policy.on_hit(ints, floats, chunks[pos])
                if prefetching and unread[chunks[pos]] != 0:
                    world.count[Count.USED] += 1
                    unread[chunks[pos]] = 0
            asked += size
            hits += 1
        else:
            fetches = alone and end - begin == 1 and world.trace.single[chunks[begin]] != 0
            cost = _fetch(world, actor, read, t) if fetches else -1
            if cost < 0:
                break
        dur[read] = cost
        reads += 1
        job[actor] = read + 1
        at(schedule, actor, t + cost + think[read + 1])
        actor = schedule.winner[1]
        t = schedule.time[actor]
        if not _is_next(world, actor, t):
            actor = -1
            break
    world.count[Count.BEGUN] += reads
    if prefetching:
        spend(world.budget, asked)
    world.count[Count.HIT] += asked
    world.count[Count.HITS] += hits
    return int(actor)


def _is_watched(world: World) -> bool:
    """Whether each read is to take its turn: somebody answers it, it is due, or it is of the warm-up."""
    model = world.model
    asked = model.recording != 0 or model.reactive != 0 or model.open_loop != 0
    return bool(asked or world.count[Count.BEGUN] <= model.warm_up)


def _is_next(world: World, actor: int, t: int) -> bool:
    """Whether a turn is that of one of this client's threads that is to read, not at its program's start."""
    reads = world.actors.phase[actor] == Phase.THINK and world.actors.client[actor] == world.own[Own.CLIENT]
    return bool(reads and t < world.count[Count.LINK_CHANGE] and t > world.out.began[world.own[Own.PROGRAM] - 1])


def _unpinned(world: World) -> tuple[int, int]:
    """What a hit takes less than, and ends before, so that nothing can be evicted meanwhile that it would have pinned.

    What is evicted makes room for a request that lands: for one under way, at the earliest when its first byte
    comes or the link changes; for a later one, after a round trip.
    """
    if world.state.counters[CAPACITY] < 0:
        return FOREVER, FOREVER
    soonest = world.count[Count.LINK_CHANGE]
    for slot in range(len(world.actors.holder)):
        actor = world.actors.holder[slot]
        if actor >= 0:
            soonest = min(soonest, world.schedule.time[actor])
    return int(world.link.clock[RTT]), int(soonest)


def _is_idle(world: World) -> bool:
    """Whether the next request would be the only one, on a link whose connections do not start slowly."""
    clock, counters = world.link.clock, world.state.counters
    settled = world.count[Count.LANDED] == world.count[Count.REQUESTS] and counters[BLOCKED] == 0
    return bool(settled and (clock[WINDOW] == 0 or clock[RTT] == 0))


def _fetch(world: World, actor: int, read: int, t: int) -> int:
    """One chunk from the backend for a read of it alone; how long the read takes, or -1 if others may notice."""
    pos = world.trace.first[read]
    chunk, clock, requests = world.segments.chunk[pos], world.link.clock, world.out.requests
    length = world.layout.end[chunk] - world.layout.start[chunk]
    at(world.schedule, actor, FOREVER)
    horizon = min(world.schedule.time[world.schedule.winner[1]], world.count[Count.LINK_CHANGE])
    at(world.schedule, actor, t)
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
