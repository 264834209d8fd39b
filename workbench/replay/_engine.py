"""The virtual clock: threads and prefetch workers take turns, whoever's time comes first.

Numba's subset, compiled once whatever is replayed. At the same time the link goes before an
actor that acts, and a lower connection or actor before a higher one. Since everything that
changes lies in arrays, the engine can return to have an output made longer and be called again.
"""

from __future__ import annotations

from storage.backend._link import FOREVER
from storage.backend._link import RTT as _RTT
from storage.plan import (
    BLOCKED,
    CAPACITY,
    COMPLETE,
    EXACT,
    FETCH,
    PREFETCH,
    READY,
    SERVE,
    USER,
    WAIT,
    Queue,
    Reg,
    State,
    advance,
    give_up_wait,
    served,
    suggest,
)
from workbench.replay._account import count_served, cut_warm_up
from workbench.replay._schedule import at
from workbench.replay._transfer import ask, ask_meta, come, land, store
from workbench.replay._turns import (
    end_read,
    end_wait,
    load,
    next_program,
    put,
    state_of,
    take_batch,
    unpark,
    wake_workers,
)
from workbench.replay._world import Client, Count, Phase, World

__all__ = ["DONE", "FULL", "run"]

DONE = 0
FULL = 1

# Plan `reference`: how long nydusd waits for somebody else's fetch.
_PATIENCE_NS = 2_000_000_000
_MIB_SHIFT = 20


def _begin(world: World) -> None:
    """Each client starts its first program, or what comes before it."""
    world.count[Count.LINK_CHANGE] = FOREVER
    trace = world.trace
    for client in range(len(trace.client_start)):
        program = trace.client_first[client]
        if program == trace.client_first[client + 1]:
            continue
        if len(trace.meta) == 0:
            next_program(world, client, trace.client_start[client])
        else:
            world.out.began[program] = trace.client_start[client]
            opener = trace.program_first[program]
            world.actors.reg[opener, Reg.LAST] = -1
            put(world, opener, Phase.OPEN, trace.client_start[client])


def run(world: World) -> int:
    """Let time pass until nothing is left to do, or until an output needs to be longer: DONE or FULL."""
    count, schedule, out = world.count, world.schedule, world.out
    rows = 3 * len(world.layout.size) + 8  # the most that one step may log
    if count[Count.BEGUN] < 0:
        count[Count.BEGUN] = 0
        _begin(world)
    while True:
        if count[Count.REQUESTS] == len(out.requests):
            return FULL
        if world.model.recording != 0 and len(out.log) - count[Count.LOGGED] < rows:
            return FULL
        actor = schedule.winner[1]
        t = schedule.time[actor]
        if count[Count.LINK_CHANGE] <= t:
            t = count[Count.LINK_CHANGE]
            if t == FOREVER:
                return DONE
            land(world, t)
        else:
            _act(world, actor, t)


def _act(world: World, actor: int, t: int) -> None:
    phase = world.actors.phase[actor]
    if phase == Phase.THINK:
        t = _read_ready(world, actor, t)
        if t >= 0:
            _begin_read(world, actor, t)
        return
    if phase == Phase.COME:
        come(world, actor, t)
        return
    if phase == Phase.OPEN:
        ask_meta(world, actor, t)
        return
    if phase == Phase.SERVE:
        served(state_of(world, world.actors.client[actor]), world.segments, world.actors.reg[actor])
    elif phase == Phase.DECODE:
        if not store(world, actor, t):
            return
    elif phase == Phase.WAIT:
        end_wait(world, actor, t)
        give_up_wait(world.actors.reg[actor])
    _look(world, actor, t)


def _read_ready(world: World, actor: int, t: int) -> int:
    """Reads of which every chunk is ready, one after the other, for as long as nothing else happens.

    Does what the planner would, without its registers and pins. Pins matter only to an
    eviction between the start of a read and its end, which takes a request that lands there:
    where none is under way, none can within a round trip. Returns when the read that it
    leaves to the planner starts, or -1 if it is not yet time for it.
    """
    if world.model.recording != 0 or world.model.reactive != 0 or world.model.open_loop != 0:
        return t
    if world.count[Count.BEGUN] <= world.model.warm_up:
        return t  # which reads are of the warm-up is told by the turns that they take
    client = world.actors.client[actor]
    trace, status, ahead = world.trace, world.state.status[client], world.out.ahead[client]
    ints, floats, on_hit = world.state.ints[client], world.state.floats[client], world.policy.on_hit
    first, size, think, chunks = trace.first, trace.size, trace.think, world.segments.chunk
    start, dur = world.out.start, world.out.dur
    hit_ns, copy_ns = world.model.hit, world.model.copy
    bounded, quiet = world.state.counters[client, CAPACITY] >= 0, _quiet(world, client)
    whole, prefetching = not bounded or world.options.plan == EXACT, len(trace.batch_first) > 1
    at(world.schedule, actor, FOREVER)
    horizon = min(world.schedule.time[world.schedule.winner[1]], world.count[Count.LINK_CHANGE])
    read, asked, reads = world.actors.job[actor], 0, 0
    last = trace.thread_first[actor + 1] - 1
    while read < last:
        begin, end = first[read], first[read + 1]
        if begin == end or not (whole or end - begin == 1):
            break
        cost = hit_ns + (size[read] * copy_ns >> _MIB_SHIFT)
        if t + cost >= horizon and cost >= quiet:
            break
        pos = begin
        while pos < end and status[chunks[pos]] == READY:
            pos += 1
        if pos < end:
            break
        if bounded:
            for pos in range(begin, end):
                on_hit(ints, floats, chunks[pos])
        if prefetching:
            for pos in range(begin, end):
                if ahead[chunks[pos]] != 0:
                    world.count[Count.USED] += 1
                    ahead[chunks[pos]] = 0
        start[read] = t
        dur[read] = cost
        asked += size[read]
        reads += 1
        read += 1
        t += cost + think[read]
        if t >= horizon:
            break
    world.actors.job[actor] = read
    world.count[Count.BEGUN] += reads
    world.count[Count.HIT] += asked
    world.count[Count.HITS] += reads
    at(world.schedule, actor, t)
    return -1 if reads > 0 and t >= horizon else t


def _quiet(world: World, client: int) -> int:
    """For how long from now on nothing can be evicted, whatever is asked meanwhile."""
    if world.state.counters[client, CAPACITY] < 0:
        return FOREVER
    return int(world.link.clock[_RTT]) if world.count[Count.LANDED] == world.count[Count.REQUESTS] else 0


def _begin_read(world: World, actor: int, t: int) -> None:
    read, client, out = world.actors.job[actor], world.actors.client[actor], world.out
    if world.count[Count.BEGUN] == world.model.warm_up:
        cut_warm_up(world, t)
    world.count[Count.BEGUN] += 1
    out.start[read] = t
    if world.model.open_loop != 0:
        program = world.trace.client_first[client] + world.clients.count[client, Client.STARTED] - 1
        out.start[read] = out.began[program] + world.trace.due[read]
        out.late[read] = t - out.start[read]
    first, end = world.trace.first[read], world.trace.first[read + 1]
    state = state_of(world, client)
    if world.model.reactive != 0:
        _suggest(world, state, client, first, end, t)
    load(world, actor, first, end, USER, read)
    if first == end:
        put(world, actor, Phase.SERVE, t + world.model.hit)
    elif state.counters[CAPACITY] < 0 and _all_ready(world, state, first, end):
        reg = world.actors.reg[actor]
        reg[Reg.SPAN] = end
        _serve(world, actor, t)
        reg[Reg.POS] = end  # nothing was pinned
    else:
        _look(world, actor, t)


def _all_ready(world: World, state: State, first: int, end: int) -> bool:
    pos = first
    while pos < end and state.status[world.segments.chunk[pos]] == READY:
        pos += 1
    return pos == end


def _suggest(world: World, state: State, client: int, first: int, end: int, t: int) -> None:
    clients = world.clients
    queue = Queue(clients.rows[client], clients.ends[client])
    ints, floats = clients.ints[client], clients.floats[client]
    if suggest(clients.on_read, ints, floats, state, world.segments, first, end, queue, clients.out) > 0:
        wake_workers(world, client, t)


def _look(world: World, actor: int, t: int) -> None:
    """Ask the decider, and begin what it says."""
    reg, client = world.actors.reg[actor], world.actors.client[actor]
    state = state_of(world, client)
    action = advance(world.layout, state, world.options, world.policy, world.segments, world.marks, reg)
    if reg[Reg.KIND] == USER and state.counters[BLOCKED] == 0:
        unpark(world, client, t)
    if action == SERVE:
        _serve(world, actor, t)
    elif action == WAIT:
        _wait(world, state, actor, t)
    elif action == FETCH:
        ask(world, actor, t)
    elif action == COMPLETE:
        if reg[Reg.KIND] == PREFETCH:
            take_batch(world, actor, t)
        else:
            end_read(world, actor, t, 0)
    else:
        put(world, actor, Phase.PARK, FOREVER)


def _serve(world: World, actor: int, t: int) -> None:
    reg, size = world.actors.reg[actor], 0
    for pos in range(reg[Reg.POS], reg[Reg.SPAN]):
        size += world.segments.length[pos]
    cost = world.model.hit + (size * world.model.copy >> _MIB_SHIFT)
    count_served(world, actor, t, cost)
    put(world, actor, Phase.SERVE, t + cost)


def _wait(world: World, state: State, actor: int, t: int) -> None:
    reg, exact = world.actors.reg[actor], world.options.plan == EXACT
    world.out.waited[reg[Reg.POS] if exact else reg[Reg.SCAN]] = 1
    world.actors.since[actor] = t
    world.actors.late[actor] = int(state.owner[reg[Reg.WAITING]] >= len(world.trace.size))
    world.clients.count[world.actors.client[actor], Client.WAITING] += 1
    put(world, actor, Phase.WAIT, FOREVER if exact else t + _PATIENCE_NS)
