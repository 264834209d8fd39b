"""The virtual clock: threads and prefetch workers take turns, whoever's time comes first.

Numba's subset, compiled once whatever is replayed. At the same time a transfer that ends
goes before an actor that acts, and a lower connection or actor before a higher one. Since
everything that changes lies in arrays, the engine can return to have an output made longer
and be called again.
"""

from __future__ import annotations

from storage.backend._link import FOREVER, carry_to, flow_begin, next_change, send, tries_of_next
from storage.backend._link import NOW as _CLOCK
from storage.events import Outcome as _Outcome
from storage.plan import (
    ABSENT,
    BLOCKED,
    COMPLETE,
    EXACT,
    FETCH,
    PREFETCH,
    READY,
    SERVE,
    USER,
    WAIT,
    Reg,
    abandon,
    advance,
    arrive,
    evicted,
    give_up_wait,
    persisted,
    reopen,
    served,
)
from workbench.replay._account import (
    count_arrival,
    count_evicted,
    count_fetched,
    count_read,
    count_refused,
    count_served,
    count_wait,
    log_work,
)
from workbench.replay._alone import read_on
from workbench.replay._schedule import at
from workbench.replay._world import Count, Phase, Request, World

__all__ = ["DONE", "FULL", "run"]

DONE = 0
FULL = 1

# Plan `reference`: how long nydusd waits for somebody else's fetch.
_PATIENCE_NS = 2_000_000_000
_MIB_SHIFT = 20
_ERROR = int(_Outcome.ERROR)


def _begin(world: World) -> None:
    """At time 0 the first program starts, and prefetching with it."""
    world.count[Count.LINK_CHANGE] = FOREVER
    for worker in range(len(world.trace.thread_first) - 1, len(world.actors.phase)):
        world.actors.phase[worker] = Phase.PARK
        _take_batch(world, worker)
    _next_program(world, 0)


def run(world: World) -> int:
    """Let time pass until nothing is left to do, or until an output needs to be longer: DONE or FULL."""
    count, schedule, out = world.count, world.schedule, world.out
    rows = 3 * len(world.layout.size) + 8  # the most that one step may log
    if count[Count.STARTED] == 0:
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
            _land(world, t)
        else:
            _act(world, actor, t)


def _act(world: World, actor: int, t: int) -> None:
    phase = world.actors.phase[actor]
    if phase == Phase.THINK:
        if t == world.out.began[world.count[Count.STARTED] - 1] and _look_ahead(world, t):
            return
        t = read_on(world, actor, t)
        if t < 0:
            return
        _begin_read(world, actor, t)
        return
    if phase == Phase.SERVE:
        served(world.state, world.segments, world.actors.reg[actor])
    elif phase == Phase.COME:
        _flow(world, actor, t)
        return
    elif phase == Phase.DECODE:
        _store(world, actor, t)
    elif phase == Phase.WAIT:
        _end_wait(world, actor, t)
        give_up_wait(world.actors.reg[actor])
    _look(world, actor, t)


def _begin_read(world: World, actor: int, t: int) -> None:
    read = world.actors.job[actor]
    world.out.start[read] = t
    first, end = world.trace.first[read], world.trace.first[read + 1]
    _load(world, actor, first, end, USER, read)
    if first == end:
        _set(world, actor, Phase.SERVE, t + world.model.hit)
    else:
        _look(world, actor, t)


def _load(world: World, actor: int, first: int, end: int, kind: int, ticket: int) -> None:
    """Registers of a read, or of a batch, that has not done anything."""
    reg = world.actors.reg[actor]
    reg[:] = 0
    reg[Reg.POS] = reg[Reg.SPAN] = reg[Reg.LIMIT] = reg[Reg.SCAN] = first
    reg[Reg.END] = end
    reg[Reg.KIND] = kind
    reg[Reg.TICKET] = ticket


def _set(world: World, actor: int, phase: int, t: int) -> None:
    world.actors.phase[actor] = phase
    at(world.schedule, actor, t)


def _look(world: World, actor: int, t: int) -> None:
    """Ask the decider, and begin what it says."""
    reg = world.actors.reg[actor]
    if reg[Reg.KIND] == PREFETCH and world.count[Count.ALIVE] == 0:
        _set(world, actor, Phase.PARK, FOREVER)
        return
    action = advance(world.layout, world.state, world.options, world.policy, world.segments, world.marks, reg)
    if reg[Reg.KIND] == USER and world.state.counters[BLOCKED] == 0:
        _unpark(world, t)
    if action == SERVE:
        _serve(world, actor, t)
    elif action == WAIT:
        _wait(world, actor, t)
    elif action == FETCH:
        _ask(world, actor, t)
    elif action == COMPLETE:
        _complete(world, actor, t)
    else:
        _set(world, actor, Phase.PARK, FOREVER)


def _look_ahead(world: World, t: int) -> bool:
    """At a program's start let the first worker that is to look do so before any thread reads; false if there is none.

    So it is in the store, which starts to prefetch before it can be read.
    """
    for worker in range(len(world.trace.thread_first) - 1, len(world.actors.phase)):
        if world.actors.phase[worker] == Phase.LOOK:
            _look(world, worker, t)
            return True
    return False


def _unpark(world: World, t: int) -> None:
    for worker in range(len(world.trace.thread_first) - 1, len(world.actors.phase)):
        if world.actors.phase[worker] == Phase.PARK:
            _set(world, worker, Phase.LOOK, t)


def _serve(world: World, actor: int, t: int) -> None:
    reg, size = world.actors.reg[actor], 0
    for pos in range(reg[Reg.POS], reg[Reg.SPAN]):
        size += world.segments.length[pos]
    cost = world.model.hit + (size * world.model.copy >> _MIB_SHIFT)
    count_served(world, actor, t, cost)
    _set(world, actor, Phase.SERVE, t + cost)


def _wait(world: World, actor: int, t: int) -> None:
    reg, exact = world.actors.reg[actor], world.options.plan == EXACT
    world.out.waited[reg[Reg.POS] if exact else reg[Reg.SCAN]] = 1
    world.actors.since[actor] = t
    world.count[Count.WAITING] += 1
    _set(world, actor, Phase.WAIT, FOREVER if exact else t + _PATIENCE_NS)


def _end_wait(world: World, actor: int, t: int) -> None:
    world.count[Count.WAITING] -= 1
    count_wait(world, actor, t)


def _wake(world: World, t: int) -> None:
    """Let those look again whose chunk is no longer in flight."""
    if world.count[Count.WAITING] == 0:
        return
    program = world.count[Count.STARTED] - 1
    for actor in range(world.trace.program_first[program], world.trace.program_first[program + 1]):
        if world.actors.phase[actor] == Phase.WAIT:
            status = world.state.status[world.actors.reg[actor, Reg.WAITING]]
            if status in (ABSENT, READY):
                _end_wait(world, actor, t)
                _set(world, actor, Phase.LOOK, t)


def _ask(world: World, actor: int, t: int) -> None:
    """Want a range: on a connection if one is free, else in the queue for one."""
    actors, reg, fetch = world.actors, world.actors.reg[actor], world.count[Count.REQUESTS]
    world.count[Count.REQUESTS] = fetch + 1
    row = world.out.requests[fetch]
    row[:] = 0
    row[Request.T] = t
    row[Request.READ] = actors.job[actor] if reg[Reg.KIND] == USER else -1
    row[Request.FIRST], row[Request.LAST] = reg[Reg.FIRST], reg[Reg.LAST]
    row[Request.OFFSET] = world.layout.start[reg[Reg.FIRST]]
    row[Request.LENGTH] = world.layout.end[reg[Reg.LAST]] - row[Request.OFFSET]
    actors.fetch[actor] = fetch
    actors.since[actor] = t
    if reg[Reg.KIND] == PREFETCH:
        world.count[Count.BUSY] += 1
    for slot in range(len(actors.holder)):
        if actors.holder[slot] < 0:
            _connect(world, actor, slot, t)
            return
    actors.queue[world.count[Count.QUEUED] % len(actors.queue)] = actor
    world.count[Count.QUEUED] += 1
    _set(world, actor, Phase.QUEUE, FOREVER)


def _connect(world: World, actor: int, slot: int, t: int) -> None:
    actors = world.actors
    actors.holder[slot] = actor
    actors.slot[actor] = slot
    actors.tries[actor] = tries_of_next(world.link)
    world.out.requests[actors.fetch[actor], Request.TRIES] = abs(actors.tries[actor])
    world.count[Count.RETRIES] += abs(actors.tries[actor]) - 1
    _set(world, actor, Phase.COME, send(world.link, t))


def _flow(world: World, actor: int, t: int) -> None:
    """The first byte is here, or the last refusal."""
    slot = world.actors.slot[actor]
    world.actors.byte[actor] = t
    if world.actors.tries[actor] < 0:
        _refuse(world, actor, t)
        return
    world.actors.flowing[slot] = 1
    flow_begin(world.link, t, slot, world.out.requests[world.actors.fetch[actor], Request.LENGTH])
    _set(world, actor, Phase.FLOW, FOREVER)
    _look_at_link(world)


def _look_at_link(world: World) -> None:
    """Work out when the link changes; a transfer that has ended and was not taken ends now."""
    change = next_change(world.link)
    for slot in range(len(world.actors.flowing)):
        if world.actors.flowing[slot] != 0 and world.link.left[slot] == 0:
            change = world.link.clock[_CLOCK]
    world.count[Count.LINK_CHANGE] = change


def _land(world: World, t: int) -> None:
    """A transfer has ended, if it is not just that one may be faster from now on: admit its chunks, begin to decode."""
    actors = world.actors
    carry_to(world.link, t)
    slot = 0
    while slot < len(actors.flowing) and (actors.flowing[slot] == 0 or world.link.left[slot] != 0):
        slot += 1
    if slot == len(actors.flowing):
        _look_at_link(world)
        return
    actor = actors.holder[slot]
    actors.flowing[slot] = 0
    _pass_on(world, slot, t)
    _look_at_link(world)
    _admit(world, actor, t)


def _pass_on(world: World, slot: int, t: int) -> None:
    """The connection goes to who waits for one first."""
    actors = world.actors
    world.count[Count.LANDED] += 1
    actors.holder[slot] = -1
    if world.count[Count.UNQUEUED] < world.count[Count.QUEUED]:
        following = actors.queue[world.count[Count.UNQUEUED] % len(actors.queue)]
        world.count[Count.UNQUEUED] += 1
        _connect(world, following, slot, t)


def _refuse(world: World, actor: int, t: int) -> None:
    """The request failed for good: so does the read, or the batch."""
    reg = world.actors.reg[actor]
    count_refused(world, actor, t)
    _pass_on(world, world.actors.slot[actor], t)
    abandon(world.layout, world.state, world.policy, world.segments, world.marks, reg)
    _wake(world, t)
    if reg[Reg.KIND] == PREFETCH:
        _end_request(world, t)
        _look(world, actor, t)
        return
    if world.state.counters[BLOCKED] == 0:
        _unpark(world, t)
    world.count[Count.FAILURES] += 1
    _end_read(world, actor, t, _ERROR)


def _admit(world: World, actor: int, t: int) -> None:
    count_arrival(world, actor, t)
    victims = arrive(world.layout, world.state, world.policy, world.actors.reg[actor], world.out.victims)
    _evict(world, actor, t, victims)
    decoded = count_fetched(world, actor)
    begun, spent = t + world.model.fetch, decoded * world.model.decode >> _MIB_SHIFT
    log_work(world, actor, begun, spent, decoded)
    _set(world, actor, Phase.DECODE, begun + spent)
    _wake(world, t)


def _evict(world: World, actor: int, t: int, victims: int) -> None:
    for index in range(victims):
        count_evicted(world, actor, t, world.out.victims[index])
        evicted(world.layout, world.state, world.out.victims[index])


def _store(world: World, actor: int, t: int) -> None:
    """Decoded, verified and written."""
    reg = world.actors.reg[actor]
    persisted(world.state, reg)
    _wake(world, t)
    if reg[Reg.KIND] == PREFETCH:
        _end_request(world, t)


def _end_request(world: World, t: int) -> None:
    """A worker's request is over; the last one lets the next program start."""
    world.count[Count.BUSY] -= 1
    if world.count[Count.ALIVE] == 0 and world.count[Count.BUSY] == 0:
        _next_program(world, t)


def _complete(world: World, actor: int, t: int) -> None:
    """A read, or a batch, is through: on to the next."""
    if world.actors.reg[actor, Reg.KIND] == PREFETCH:
        _take_batch(world, actor)
        if world.actors.phase[actor] != Phase.IDLE:
            _set(world, actor, Phase.LOOK, t)
        return
    _end_read(world, actor, t, 0)


def _end_read(world: World, actor: int, t: int, outcome: int) -> None:
    read = world.actors.job[actor]
    world.out.dur[read] = t - world.out.start[read]
    count_read(world, actor, read, outcome)
    read += 1
    if read < world.trace.thread_first[actor + 1]:
        world.actors.job[actor] = read
        _set(world, actor, Phase.THINK, t + world.trace.think[read])
        return
    _set(world, actor, Phase.IDLE, FOREVER)
    world.count[Count.ALIVE] -= 1
    if world.count[Count.ALIVE] == 0:
        world.out.ended[world.count[Count.STARTED] - 1] = t
        if world.count[Count.BUSY] == 0:
            _next_program(world, t)


def _take_batch(world: World, worker: int) -> None:
    batch, batches = world.count[Count.BATCH], world.trace.batch_first
    if batch + 1 >= len(batches):
        _set(world, worker, Phase.IDLE, FOREVER)
        return
    world.count[Count.BATCH] = batch + 1
    world.actors.job[worker] = batch
    _load(world, worker, batches[batch], batches[batch + 1], PREFETCH, len(world.trace.size) + batch)


def _next_program(world: World, t: int) -> None:
    """A new process: the policy starts afresh on what is ready, threads begin to think, workers go on."""
    program = world.count[Count.STARTED]
    if program >= len(world.trace.program_first) - 1:
        return
    world.count[Count.STARTED] = program + 1
    world.out.began[program] = t
    victims = reopen(world.layout, world.state, world.policy, world.out.victims)
    _evict(world, -1, t, victims)
    first, end = world.trace.program_first[program], world.trace.program_first[program + 1]
    world.count[Count.ALIVE] = end - first
    for actor in range(first, end):
        read = world.trace.thread_first[actor]
        world.actors.job[actor] = read
        _set(world, actor, Phase.THINK, t + world.trace.think[read])
    _unpark(world, t)
