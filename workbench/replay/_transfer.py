"""Requests on the link: asked for, sent, flowing, landed or refused; and what arrives, admitted. Numba's subset."""

from __future__ import annotations

from storage.backend._link import FOREVER, carry_to, flow_begin, next_change, send, tries_of_next
from storage.backend._link import NOW as _CLOCK
from storage.plan import BLOCKED, PREFETCH, USER, Reg, abandon, arrive, persisted
from workbench.replay._account import count_arrival, count_fetched, count_meta, count_refused, log_work
from workbench.replay._turns import end_read, evict, next_program, put, state_of, take_batch, unpark, wake
from workbench.replay._world import Client, Count, Phase, Request, World

__all__ = ["ask", "ask_meta", "come", "land", "store"]

_MIB_SHIFT = 20
_ERROR = 1


def ask(world: World, actor: int, t: int) -> None:
    """Want the range of chunks that the registers name."""
    reg = world.actors.reg[actor]
    offset = world.layout.start[reg[Reg.FIRST]]
    row = world.out.requests[_want(world, actor, t, offset, world.layout.end[reg[Reg.LAST]] - offset)]
    row[Request.READ] = world.actors.job[actor] if reg[Reg.KIND] == USER else -1
    row[Request.FIRST], row[Request.LAST] = reg[Reg.FIRST], reg[Reg.LAST]
    if reg[Reg.KIND] == PREFETCH:
        world.clients.count[world.actors.client[actor], Client.BUSY] += 1
    _send_or_queue(world, actor, t)


def ask_meta(world: World, actor: int, t: int) -> None:
    """A client that starts wants its next blob.meta."""
    meta = world.trace.meta[world.clients.count[world.actors.client[actor], Client.OPENED]]
    row = world.out.requests[_want(world, actor, t, meta[1], meta[2])]
    row[Request.READ] = row[Request.FIRST] = row[Request.LAST] = -1
    _send_or_queue(world, actor, t)


def _want(world: World, actor: int, t: int, offset: int, length: int) -> int:
    """A new row of requests."""
    fetch = world.count[Count.REQUESTS]
    world.count[Count.REQUESTS] = fetch + 1
    row = world.out.requests[fetch]
    row[:] = 0
    row[Request.T] = t
    row[Request.OFFSET], row[Request.LENGTH] = offset, length
    row[Request.CLIENT] = world.actors.client[actor]
    world.actors.fetch[actor] = fetch
    world.actors.since[actor] = t
    return int(fetch)


def _send_or_queue(world: World, actor: int, t: int) -> None:
    """On a connection if one is free, else in the queue for one."""
    actors = world.actors
    for slot in range(len(actors.holder)):
        if actors.holder[slot] < 0:
            _connect(world, actor, slot, t)
            return
    actors.queue[world.count[Count.QUEUED] % len(actors.queue)] = actor
    world.count[Count.QUEUED] += 1
    put(world, actor, Phase.QUEUE, FOREVER)


def _connect(world: World, actor: int, slot: int, t: int) -> None:
    actors = world.actors
    actors.holder[slot] = actor
    actors.slot[actor] = slot
    actors.tries[actor] = tries_of_next(world.link)
    world.out.requests[actors.fetch[actor], Request.TRIES] = abs(actors.tries[actor])
    world.count[Count.RETRIES] += abs(actors.tries[actor]) - 1
    put(world, actor, Phase.COME, send(world.link, t))


def come(world: World, actor: int, t: int) -> None:
    """The first byte is here, or the last refusal."""
    slot = world.actors.slot[actor]
    world.actors.byte[actor] = t
    if world.actors.tries[actor] < 0:
        _refuse(world, actor, t)
        return
    world.actors.flowing[slot] = 1
    flow_begin(world.link, t, slot, world.out.requests[world.actors.fetch[actor], Request.LENGTH])
    put(world, actor, Phase.FLOW, FOREVER)
    _look_at_link(world)


def _look_at_link(world: World) -> None:
    """Work out when the link changes; a transfer that has ended and was not taken ends now."""
    change = next_change(world.link)
    for slot in range(len(world.actors.flowing)):
        if world.actors.flowing[slot] != 0 and world.link.left[slot] == 0:
            change = world.link.clock[_CLOCK]
    world.count[Count.LINK_CHANGE] = change


def land(world: World, t: int) -> None:
    """A transfer has ended, if it is not just that one may be faster from now on: admit its chunks."""
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
    if actors.reg[actor, Reg.LAST] < 0:
        _land_meta(world, actor, t)
    else:
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


def _land_meta(world: World, actor: int, t: int) -> None:
    client = world.actors.client[actor]
    count = world.clients.count[client]
    count_meta(world, actor, t, world.trace.meta[count[Client.OPENED], 0])
    count[Client.OPENED] += 1
    if count[Client.OPENED] < len(world.trace.meta):
        put(world, actor, Phase.OPEN, t)
    else:
        next_program(world, client, t)


def _admit(world: World, actor: int, t: int) -> None:
    client = world.actors.client[actor]
    state = state_of(world, client)
    count_arrival(world, state, actor, t)
    victims = arrive(world.layout, state, world.policy, world.actors.reg[actor], world.out.victims)
    evict(world, actor, client, t, victims)
    decoded = count_fetched(world, state, actor)
    spent = decoded * world.model.decode >> _MIB_SHIFT
    begun = _on_a_core(world, t + world.model.fetch, spent)
    log_work(world, actor, begun, spent, decoded)
    put(world, actor, Phase.DECODE, begun + spent)
    wake(world, client, t)


def _on_a_core(world: World, ready: int, spent: int) -> int:
    """When decoding begins: on the core that is free first."""
    cores = world.actors.cores
    if len(cores) == 0:
        return ready
    core = 0
    for other in range(1, len(cores)):
        if cores[other] < cores[core]:
            core = other
    begin = max(ready, cores[core])
    cores[core] = begin + spent
    return int(begin)


def store(world: World, actor: int, t: int) -> bool:
    """Decoded, verified and written. Returns whether the actor goes on."""
    reg, client = world.actors.reg[actor], world.actors.client[actor]
    persisted(state_of(world, client), reg)
    wake(world, client, t)
    return reg[Reg.KIND] == USER or _still_works(world, actor, client, t)


def _still_works(world: World, worker: int, client: int, t: int) -> bool:
    """A worker's request is over; without a program it stops, and the last to stop lets the next one start."""
    count = world.clients.count[client]
    count[Client.BUSY] -= 1
    if count[Client.ALIVE] > 0:
        return True
    put(world, worker, Phase.IDLE, FOREVER)
    if count[Client.BUSY] == 0:
        next_program(world, client, t)
    return False


def _refuse(world: World, actor: int, t: int) -> None:
    """The request failed for good: so does the read, or the batch; a client that starts asks again."""
    reg, client = world.actors.reg[actor], world.actors.client[actor]
    count_refused(world, actor, t)
    _pass_on(world, world.actors.slot[actor], t)
    if reg[Reg.LAST] < 0:
        put(world, actor, Phase.OPEN, t)
        return
    state = state_of(world, client)
    abandon(world.layout, state, world.policy, world.segments, world.marks, reg)
    wake(world, client, t)
    if reg[Reg.KIND] == USER:
        if state.counters[BLOCKED] == 0:
            unpark(world, client, t)
        end_read(world, actor, t, _ERROR)
    else:
        world.count[Count.DROPPED] += 1
        if _still_works(world, actor, client, t):
            take_batch(world, actor, t)
