"""The virtual clock: threads and prefetch workers take turns, whoever's time comes first.

Numba's subset, compiled once whatever is replayed. At the same time a transfer that ends
goes before an actor that acts, and a lower connection or actor before a higher one. Since
everything that changes lies in arrays, the engine can return to have an output made longer
and be called again.

Clients share the link and the clock. Each sees a `World` of its own, in which what is shared is
the same arrays; whoever acts does so in its client's.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.backend._link import FOREVER
from storage.plan import (
    BLOCKED,
    COMPLETE,
    EXACT,
    FETCH,
    PREFETCH,
    SERVE,
    USER,
    WAIT,
    Reg,
    advance,
    give_up_wait,
    served,
    spend,
    suggest,
)
from workbench._bind import pick
from workbench.replay._account import asked_by, count_served, cut_warm_up
from workbench.replay._alone import read_on
from workbench.replay._transfer import admit, ask, come, land, store
from workbench.replay._turns import end_read, end_wait, load, next_program, put, take_batch, unpark, wake_workers
from workbench.replay._world import Count, Own, Phase, World

__all__ = ["DONE", "FULL", "run"]

DONE = 0
FULL = 1

# Plan `reference`: how long nydusd waits for somebody else's fetch.
_PATIENCE_NS = 2_000_000_000
_MIB_SHIFT = 20


def run(worlds: Sequence[World], clients: int) -> int:
    """Let time pass until nothing is left to do, or until an output needs to be longer: DONE or FULL."""
    world = pick(worlds, 0)
    count, schedule, out = world.count, world.schedule, world.out
    rows = 3 * len(world.layout.size) + 8  # the most that one step may log
    if count[Count.STARTED] == 0:
        count[Count.STARTED] = 1
        count[Count.LINK_CHANGE] = FOREVER
        for client in range(clients):
            _begin(pick(worlds, client))
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
            actor = land(world, t)
            if actor >= 0:
                admit(pick(worlds, world.actors.client[actor]), actor, t)
        else:
            _act(pick(worlds, world.actors.client[actor]), actor, t)


def _begin(world: World) -> None:
    """A client's first program starts, and prefetching with it."""
    start = world.own[Own.START]
    for worker in range(world.own[Own.WORKER], world.own[Own.WORKERS]):
        take_batch(world, worker, start)
    next_program(world, start)


def _act(world: World, actor: int, t: int) -> None:
    phase = world.actors.phase[actor]
    if phase == Phase.THINK:
        if t == world.out.began[world.own[Own.PROGRAM] - 1] and _look_ahead(world, t):
            return
        actor = read_on(world, actor, t)
        if actor >= 0:
            _begin_read(world, actor, world.schedule.time[actor])
        return
    if phase == Phase.SERVE:
        served(world.state, world.segments, world.actors.reg[actor])
    elif phase == Phase.COME:
        if not come(world, actor, t):
            return
    elif phase == Phase.DECODE:
        store(world, actor, t)
    elif phase == Phase.WAIT:
        end_wait(world, actor, t)
        give_up_wait(world.actors.reg[actor])
    _look(world, actor, t)


def _begin_read(world: World, actor: int, t: int) -> None:
    read, out = world.actors.job[actor], world.out
    if world.count[Count.BEGUN] == world.model.warm_up:
        cut_warm_up(world, t)
    world.count[Count.BEGUN] += 1
    world.actors.began[actor] = t
    if world.model.open_loop != 0:
        world.actors.began[actor] = out.began[world.own[Own.PROGRAM] - 1] + world.trace.due[read]
        out.late[read] = t - world.actors.began[actor]
    first, end = world.trace.first[read], world.trace.first[read + 1]
    spend(world.budget, asked_by(world, read))
    if world.model.reactive != 0:
        _suggest(world, first, end, t)
    load(world, actor, first, end, USER, read)
    if first == end:
        put(world, actor, Phase.SERVE, t + world.model.hit)
    else:
        _look(world, actor, t)


def _suggest(world: World, first: int, end: int, t: int) -> None:
    ahead = world.ahead
    if suggest(ahead.policy, world.state, world.segments, first, end, ahead.queue, ahead.out) > 0:
        wake_workers(world, t + world.model.wake)


def _look(world: World, actor: int, t: int) -> None:
    """Ask the decider, and begin what it says."""
    reg = world.actors.reg[actor]
    if reg[Reg.KIND] == PREFETCH and world.own[Own.ALIVE] == 0:
        put(world, actor, Phase.PARK, FOREVER)
        return
    action = advance(world.layout, world.state, world.options, world.policy, world.segments, world.marks, reg)
    if reg[Reg.KIND] == USER and world.state.counters[BLOCKED] == 0:
        unpark(world, t + world.model.wake)
    if action == SERVE:
        _serve(world, actor, t)
    elif action == WAIT:
        _wait(world, actor, t)
    elif action == FETCH:
        ask(world, actor, t)
    elif action == COMPLETE:
        if reg[Reg.KIND] == PREFETCH:
            take_batch(world, actor, t)
        else:
            end_read(world, actor, t, 0)
    else:
        put(world, actor, Phase.PARK, FOREVER)


def _look_ahead(world: World, t: int) -> bool:
    """At a program's start let the first worker that is to look do so before any thread reads; false if there is none.

    So it is in the store, which starts to prefetch before it can be read.
    """
    for worker in range(world.own[Own.WORKER], world.own[Own.WORKERS]):
        if world.actors.phase[worker] == Phase.LOOK and world.schedule.time[worker] <= t:
            _look(world, worker, t)
            return True
    return False


def _serve(world: World, actor: int, t: int) -> None:
    reg, size = world.actors.reg[actor], 0
    for pos in range(reg[Reg.POS], reg[Reg.SPAN]):
        size += world.segments.length[pos]
    cost = world.model.hit + (size * world.model.copy >> _MIB_SHIFT)
    count_served(world, actor, t, cost)
    put(world, actor, Phase.SERVE, t + cost)


def _wait(world: World, actor: int, t: int) -> None:
    reg, exact = world.actors.reg[actor], world.options.plan == EXACT
    world.out.waited[reg[Reg.POS] if exact else reg[Reg.SCAN]] = 1
    world.actors.since[actor] = t
    world.actors.late[actor] = 1 if world.state.owner[reg[Reg.WAITING]] >= len(world.trace.think) else 0
    world.own[Own.WAITING] += 1
    put(world, actor, Phase.WAIT, FOREVER if exact else t + _PATIENCE_NS)
