"""A request from the wish for a connection to its chunks on disk. Numba's subset."""

from __future__ import annotations

from storage.backend._link import FOREVER, carry_to, flow_begin, next_change, send, tries_of_next
from storage.backend._link import NOW as _CLOCK
from storage.events import Outcome as _Outcome
from storage.plan import BLOCKED, PREFETCH, USER, Reg, abandon, arrive, persisted
from workbench.replay._account import count_arrival, count_fetched, count_refused, log_work
from workbench.replay._turns import end_read, end_request, evict, put, unpark, wake
from workbench.replay._world import Count, Own, Phase, Request, World

__all__ = ["admit", "ask", "come", "land", "store"]

_MIB_SHIFT = 20
_ERROR = int(_Outcome.ERROR)


def ask(world: World, actor: int, t: int) -> None:
    """Want a range: on a connection if one is free, else in the queue for one."""
    actors, reg, fetch = world.actors, world.actors.reg[actor], world.count[Count.REQUESTS]
    world.count[Count.REQUESTS] = fetch + 1
    row = world.out.requests[fetch]
    row[:] = 0
    row[Request.T], row[Request.CLIENT] = t, actors.client[actor]
    row[Request.READ] = actors.job[actor] if reg[Reg.KIND] == USER else -1
    row[Request.FIRST], row[Request.LAST] = reg[Reg.FIRST], reg[Reg.LAST]
    row[Request.OFFSET] = world.layout.start[reg[Reg.FIRST]]
    row[Request.LENGTH] = world.layout.end[reg[Reg.LAST]] - row[Request.OFFSET]
    actors.fetch[actor] = fetch
    actors.since[actor] = t
    if reg[Reg.KIND] == PREFETCH:
        world.own[Own.BUSY] += 1
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


def come(world: World, actor: int, t: int) -> bool:
    """The first byte is here, or the last refusal; whether the actor looks again."""
    slot = world.actors.slot[actor]
    world.actors.byte[actor] = t
    if world.actors.tries[actor] < 0:
        return _refuse(world, actor, t)
    world.actors.flowing[slot] = 1
    flow_begin(world.link, t, slot, world.out.requests[world.actors.fetch[actor], Request.LENGTH])
    put(world, actor, Phase.FLOW, FOREVER)
    _look_at_link(world)
    return False


def _look_at_link(world: World) -> None:
    """Work out when the link changes; a transfer that has ended and was not taken ends now."""
    change = next_change(world.link)
    for slot in range(len(world.actors.flowing)):
        if world.actors.flowing[slot] != 0 and world.link.left[slot] == 0:
            change = world.link.clock[_CLOCK]
    world.count[Count.LINK_CHANGE] = change


def land(world: World, t: int) -> int:
    """A transfer has ended: returns whose. If it is just that one may be faster from now on, -1."""
    actors = world.actors
    carry_to(world.link, t)
    slot = 0
    while slot < len(actors.flowing) and (actors.flowing[slot] == 0 or world.link.left[slot] != 0):
        slot += 1
    if slot == len(actors.flowing):
        _look_at_link(world)
        return -1
    actor = int(actors.holder[slot])
    actors.flowing[slot] = 0
    _pass_on(world, slot, t)
    _look_at_link(world)
    return actor


def _pass_on(world: World, slot: int, t: int) -> None:
    """The connection goes to who waits for one first."""
    actors = world.actors
    world.count[Count.LANDED] += 1
    actors.holder[slot] = -1
    if world.count[Count.UNQUEUED] < world.count[Count.QUEUED]:
        following = actors.queue[world.count[Count.UNQUEUED] % len(actors.queue)]
        world.count[Count.UNQUEUED] += 1
        _connect(world, following, slot, t)


def _refuse(world: World, actor: int, t: int) -> bool:
    """The request failed for good: so does the read, but of a batch the rest is looked at."""
    reg = world.actors.reg[actor]
    count_refused(world, actor, t)
    _pass_on(world, world.actors.slot[actor], t)
    abandon(world.layout, world.state, world.policy, world.segments, world.marks, reg)
    wake(world, t)
    if reg[Reg.KIND] == PREFETCH:
        end_request(world, t)
        return True
    if world.state.counters[BLOCKED] == 0:
        unpark(world, t + world.model.wake)
    world.count[Count.FAILURES] += 1
    end_read(world, actor, t, _ERROR)
    return False


def admit(world: World, actor: int, t: int) -> None:
    """The last byte is here: admit what fits, and begin to decode."""
    count_arrival(world, actor, t)
    victims = arrive(world.layout, world.state, world.policy, world.actors.reg[actor], world.out.victims)
    evict(world, actor, t, victims)
    decoded = count_fetched(world, actor)
    begun, spent = t + world.model.fetch, decoded * world.model.decode >> _MIB_SHIFT
    log_work(world, actor, begun, spent, decoded)
    put(world, actor, Phase.DECODE, begun + spent)
    wake(world, t)


def store(world: World, actor: int, t: int) -> None:
    """Decoded, verified and written."""
    reg = world.actors.reg[actor]
    persisted(world.state, reg)
    wake(world, t)
    if reg[Reg.KIND] == PREFETCH:
        end_request(world, t)
