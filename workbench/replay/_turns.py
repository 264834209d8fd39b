"""Whose turn it is: programs that start and end, workers that take batches, waiters that are woken. Numba's subset."""

from __future__ import annotations

from storage.backend._link import FOREVER
from storage.plan import ABSENT, PREFETCH, READY, USER, Queue, Reg, State, clear, evicted, reopen, take
from workbench.replay._account import count_evicted, count_read, count_wait
from workbench.replay._schedule import at
from workbench.replay._world import RUN, Client, Phase, World

__all__ = [
    "end_read",
    "end_wait",
    "evict",
    "load",
    "next_program",
    "put",
    "state_of",
    "take_batch",
    "unpark",
    "wake",
    "wake_workers",
]

_SECOND = 1_000_000_000


def state_of(world: World, client: int) -> State:
    """The client's own rows."""
    state = world.state
    return State(
        state.status[client],
        state.pins[client],
        state.owner[client],
        state.counters[client],
        state.ints[client],
        state.floats[client],
        state.window[client],
    )


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
    reg[Reg.LAST] = -1


def _workers(world: World, client: int) -> int:
    """The client's first worker."""
    return int(len(world.trace.thread_first) - 1 + client * world.model.workers)


def unpark(world: World, client: int, t: int) -> None:
    """Nobody is blocked: workers that stepped back look again."""
    first = _workers(world, client)
    for worker in range(first, first + world.model.workers):
        if world.actors.phase[worker] == Phase.PARK:
            put(world, worker, Phase.LOOK, t)


def take_batch(world: World, worker: int, t: int) -> None:
    """Let a worker take the next batch, if there is one, and begin as soon as the rate allows."""
    client, batches = world.actors.client[worker], world.trace.batch_first
    own = batches[-1] + (worker - len(world.trace.thread_first) + 1) * RUN
    rows = world.segments.chunk[own : own + RUN]
    queue = Queue(world.clients.rows[client], world.clients.ends[client])
    taken = take(world.layout, world.options, queue, rows)
    if taken > 0:
        for index in range(taken):
            world.segments.length[own + index] = world.layout.size[rows[index]]
        load(world, worker, own, own + taken, PREFETCH, len(world.trace.size) + len(batches) + worker)
    else:
        batch = world.clients.count[client, Client.BATCH]
        if batch + 1 >= len(batches):
            put(world, worker, Phase.IDLE, FOREVER)
            return
        world.clients.count[client, Client.BATCH] = batch + 1
        load(world, worker, batches[batch], batches[batch + 1], PREFETCH, len(world.trace.size) + batch)
    put(world, worker, Phase.LOOK, _paced(world, client, world.actors.reg[worker], t))


def _paced(world: World, client: int, reg, t: int) -> int:  # type: ignore[no-untyped-def]
    """When a batch may begin: when those before it have had the time that the rate gives them."""
    if world.model.rate == 0:
        return t
    count, chunks = world.clients.count[client], world.segments.chunk
    size = world.layout.end[chunks[reg[Reg.END] - 1]] - world.layout.start[chunks[reg[Reg.POS]]]
    begin = max(t, count[Client.FREE])
    count[Client.FREE] = begin + size * _SECOND // world.model.rate
    return int(begin)


def wake_workers(world: World, client: int, t: int) -> None:
    """There is something to prefetch: whoever has nothing to do takes of it."""
    first = _workers(world, client)
    for worker in range(first, first + world.model.workers):
        if world.actors.phase[worker] == Phase.IDLE:
            take_batch(world, worker, t)


def end_wait(world: World, actor: int, t: int) -> None:
    """A wait is over."""
    world.clients.count[world.actors.client[actor], Client.WAITING] -= 1
    count_wait(world, actor, t)


def wake(world: World, client: int, t: int) -> None:
    """Let those look again whose chunk is no longer in flight."""
    if world.clients.count[client, Client.WAITING] == 0:
        return
    program = world.trace.client_first[client] + world.clients.count[client, Client.STARTED] - 1
    for actor in range(world.trace.program_first[program], world.trace.program_first[program + 1]):
        if world.actors.phase[actor] == Phase.WAIT:
            status = world.state.status[client, world.actors.reg[actor, Reg.WAITING]]
            if status in (ABSENT, READY):
                end_wait(world, actor, t)
                put(world, actor, Phase.LOOK, t)


def evict(world: World, actor: int, client: int, t: int, victims: int) -> None:
    """Victims are punched out."""
    for index in range(victims):
        chunk = world.out.victims[index]
        count_evicted(world, actor, client, t, chunk)
        evicted(state_of(world, client), chunk)


def end_read(world: World, actor: int, t: int, outcome: int) -> None:
    """A read is through: on to the thread's next, if it has one."""
    read = world.actors.job[actor]
    world.out.dur[read] = t - world.out.start[read]
    count_read(world, actor, read, outcome)
    read += 1
    if read < world.trace.thread_first[actor + 1]:
        world.actors.job[actor] = read
        _await_read(world, actor, t)
        return
    put(world, actor, Phase.IDLE, FOREVER)
    client = world.actors.client[actor]
    count = world.clients.count[client]
    count[Client.ALIVE] -= 1
    if count[Client.ALIVE] == 0:
        _end_program(world, client, t)


def _await_read(world: World, actor: int, t: int) -> None:
    """Until the thread's next read: its think time, or until it is due."""
    read, client = world.actors.job[actor], world.actors.client[actor]
    begin = t + world.trace.think[read]
    if world.model.open_loop != 0:
        program = world.trace.client_first[client] + world.clients.count[client, Client.STARTED] - 1
        begin = max(world.out.began[program] + world.trace.due[read], t)
    put(world, actor, Phase.THINK, begin)


def _end_program(world: World, client: int, t: int) -> None:
    """Its process ends: what is queued is dropped, requests in flight are awaited."""
    count = world.clients.count[client]
    world.out.ended[world.trace.client_first[client] + count[Client.STARTED] - 1] = t
    count[Client.BATCH] = len(world.trace.batch_first)
    clear(Queue(world.clients.rows[client], world.clients.ends[client]))
    first = _workers(world, client)
    for worker in range(first, first + world.model.workers):
        if world.actors.phase[worker] in (Phase.PARK, Phase.LOOK):
            put(world, worker, Phase.IDLE, FOREVER)
    if count[Client.BUSY] == 0:
        next_program(world, client, t)


def next_program(world: World, client: int, t: int) -> None:
    """A new process: policies start afresh, the eviction policy on what is ready; threads begin to think."""
    count, clients = world.clients.count[client], world.clients
    program = world.trace.client_first[client] + count[Client.STARTED]
    if program >= world.trace.client_first[client + 1]:
        return
    count[Client.STARTED] += 1
    count[Client.FREE] = t
    if program > world.trace.client_first[client] or len(world.trace.meta) == 0:
        world.out.began[program] = t
    victims = reopen(world.layout, state_of(world, client), world.policy, world.out.victims)
    evict(world, -1, client, t, victims)
    for index in range(len(clients.first_ints)):
        clients.ints[client, index] = clients.first_ints[index]
    for index in range(len(clients.first_floats)):
        clients.floats[client, index] = clients.first_floats[index]
    first, end = world.trace.program_first[program], world.trace.program_first[program + 1]
    count[Client.ALIVE] = end - first
    for actor in range(first, end):
        world.actors.job[actor] = world.trace.thread_first[actor]
        world.actors.reg[actor, Reg.KIND] = USER
        _await_read(world, actor, t)
    wake_workers(world, client, t)
