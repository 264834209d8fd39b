"""Whose turn it is: programs that start and end, workers that take batches, waiters that are woken. Numba's subset."""

from __future__ import annotations

from typing import Any

from storage.backend._link import FOREVER
from storage.plan import ABSENT, LONGEST, PREFETCH, READY, Reg, clear, evicted, pay, reopen, take
from workbench.replay._account import count_evicted, count_read, count_wait
from workbench.replay._schedule import at
from workbench.replay._world import Own, Phase, World

__all__ = [
    "end_read",
    "end_request",
    "end_wait",
    "evict",
    "load",
    "next_program",
    "put",
    "take_batch",
    "unpark",
    "wake",
    "wake_workers",
]


def put(world: World, actor: int, phase: int, t: int) -> None:
    """Let an actor do something until a time."""
    world.actors.phase[actor] = phase
    at(world.schedule, actor, t)


def load(world: World, actor: int, first: int, end: int, kind: int, ticket: int) -> None:
    """Registers of a read, or of a batch, that has not done anything."""
    reg = world.actors.reg[actor]
    reg[:] = 0
    reg[Reg.POS] = reg[Reg.SPAN] = reg[Reg.LIMIT] = reg[Reg.SCAN] = first
    reg[Reg.END] = end
    reg[Reg.KIND] = kind
    reg[Reg.TICKET] = ticket


def unpark(world: World, t: int) -> None:
    """Nobody is blocked: workers that stepped back look again at a time."""
    for worker in range(world.own[Own.WORKER], world.own[Own.WORKERS]):
        if world.actors.phase[worker] == Phase.PARK:
            put(world, worker, Phase.LOOK, t)


def take_batch(world: World, worker: int, t: int) -> None:
    """Let a worker take what was suggested, else the next batch of the list, and begin as soon as the rate allows."""
    batches, segments = world.trace.batch_first, world.segments
    own = batches[len(batches) - 1] + (worker - len(world.trace.thread_first) + 1) * LONGEST
    taken = 0
    if world.model.reactive != 0:
        rows = segments.chunk[own : own + LONGEST]
        taken = take(world.layout, world.state, world.options, world.ahead.queue, rows)
    if taken > 0:
        for index in range(taken):
            segments.length[own + index] = world.layout.size[segments.chunk[own + index]]
        load(world, worker, own, own + taken, PREFETCH, len(world.trace.think) + len(batches) + worker)
    else:
        batch = world.own[Own.BATCH]
        if batch + 1 >= len(batches):
            put(world, worker, Phase.IDLE, FOREVER)
            return
        world.own[Own.BATCH] = batch + 1
        load(world, worker, batches[batch], batches[batch + 1], PREFETCH, len(world.trace.think) + batch)
    put(world, worker, Phase.LOOK, _paid(world, world.actors.reg[worker], t))


def _paid(world: World, reg: Any, t: int) -> int:
    """When a batch may begin: when the budget has what it costs, unless all of it is there."""
    if world.budget[0] == 0:
        return t
    first, end, chunks, pos = reg[Reg.POS], reg[Reg.END], world.segments.chunk, reg[Reg.POS]
    while pos < end and world.state.status[chunks[pos]] == READY:
        pos += 1
    if pos == end:
        return t
    return int(pay(world.budget, world.layout.end[chunks[end - 1]] - world.layout.start[chunks[first]], t))


def wake_workers(world: World, t: int) -> None:
    """There is something to prefetch: whoever has nothing to do takes of it, to begin at a time."""
    for worker in range(world.own[Own.WORKER], world.own[Own.WORKERS]):
        if world.actors.phase[worker] == Phase.IDLE:
            take_batch(world, worker, t)


def end_wait(world: World, actor: int, t: int) -> None:
    """A wait is over."""
    world.own[Own.WAITING] -= 1
    count_wait(world, actor, t)


def wake(world: World, t: int) -> None:
    """Let those look again whose chunk is no longer in flight."""
    if world.own[Own.WAITING] == 0:
        return
    program = world.own[Own.PROGRAM] - 1
    for actor in range(world.trace.program_first[program], world.trace.program_first[program + 1]):
        if world.actors.phase[actor] == Phase.WAIT:
            status = world.state.status[world.actors.reg[actor, Reg.WAITING]]
            if status in (ABSENT, READY):
                end_wait(world, actor, t)
                put(world, actor, Phase.LOOK, t)


def evict(world: World, actor: int, t: int, victims: int) -> None:
    """Victims are punched out."""
    for index in range(victims):
        count_evicted(world, actor, t, world.out.victims[index])
        evicted(world.layout, world.state, world.out.victims[index])


def end_request(world: World, t: int) -> None:
    """A worker's request is over; the last one lets the next program start."""
    world.own[Own.BUSY] -= 1
    if world.own[Own.ALIVE] == 0 and world.own[Own.BUSY] == 0:
        next_program(world, t)


def end_read(world: World, actor: int, t: int, outcome: int) -> None:
    """A read is through: on to the thread's next, if it has one."""
    read = world.actors.job[actor]
    world.out.dur[read] = t - world.actors.began[actor]
    count_read(world, actor, read, outcome)
    read += 1
    if read < world.trace.thread_first[actor + 1]:
        world.actors.job[actor] = read
        put(world, actor, Phase.THINK, _begins(world, read, t))
        return
    put(world, actor, Phase.IDLE, FOREVER)
    world.own[Own.ALIVE] -= 1
    if world.own[Own.ALIVE] == 0:
        world.out.ended[world.own[Own.PROGRAM] - 1] = t
        if world.own[Own.BUSY] == 0:
            next_program(world, t)


def _begins(world: World, read: int, t: int) -> int:
    """When a thread that is free from `t` on reads: after its think time, or when the read is due."""
    if world.model.open_loop == 0:
        return int(t + world.trace.think[read])
    return int(max(world.out.began[world.own[Own.PROGRAM] - 1] + world.trace.due[read], t))


def next_program(world: World, t: int) -> None:
    """A new process: policies start afresh, that of eviction on what is ready; threads think, workers go on."""
    program = world.own[Own.PROGRAM]
    if program >= world.own[Own.PROGRAMS]:
        return
    world.own[Own.PROGRAM] = program + 1
    world.out.began[program] = t
    victims = reopen(world.layout, world.state, world.policy, world.out.victims)
    evict(world, -1, t, victims)
    ahead = world.ahead
    clear(ahead.queue)
    for index in range(len(ahead.ints)):
        ahead.policy.ints[index] = ahead.ints[index]
    for index in range(len(ahead.floats)):
        ahead.policy.floats[index] = ahead.floats[index]
    first, end = world.trace.program_first[program], world.trace.program_first[program + 1]
    world.own[Own.ALIVE] = end - first
    for actor in range(first, end):
        read = world.trace.thread_first[actor]
        world.actors.job[actor] = read
        put(world, actor, Phase.THINK, _begins(world, read, t))
    unpark(world, t)
