"""The replay engine once more, from its description: plain Python, one generator an actor, slow and obvious.

Only the decider, the policies and the keyed random numbers are shared with the engine.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Container, Generator, Iterable, Sequence
from typing import Any

import numpy as np

from storage.backend import Link
from storage.backend._draws import draw, quantile_of, tries_of
from storage.plan import (
    ABSENT,
    BLOCKED,
    COMPLETE,
    FETCH,
    PREFETCH,
    READY,
    SERVE,
    STORING,
    USER,
    WAIT,
    Ahead,
    Batches,
    Decider,
    Read,
    Reg,
    Segments,
    cut,
    new_queue,
    plan_options,
    suggest,
    take,
    windows,
)
from workbench.replay import Settings, Workload
from workbench.replay._settings import amplify_of, bind_prefetch

PATIENCE = 2_000_000_000
MIB = 1 << 20
BILLION = 1_000_000_000
RESTART = 200_000_000
LEAST_BANDWIDTH = 16 << 20
Process = Generator[float, None, None]


class Pipe:
    """Transfers that share a bandwidth max-min fairly, each no faster than its connection is."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.cap = min(link.connection_bandwidth or link.bandwidth, link.bandwidth)
        self.slow = link.window > 0 and link.rtt_ns > 0
        self.now = 0
        self.left: dict[int, int] = {}
        self.limit = dict.fromkeys(range(link.connections), 0 if self.slow else self.cap)
        self.grow: dict[int, int] = {}
        self.idle: dict[int, float] = dict.fromkeys(range(link.connections), -math.inf)

    def begin(self, slot: int, length: int) -> None:
        self.left[slot] = length * BILLION
        if self.slow and length:
            if self.now - self.idle[slot] > RESTART + self.link.rtt_ns:
                self.limit[slot] = min(max(self.link.window * BILLION // self.link.rtt_ns, 1), self.cap)
            if self.limit[slot] < self.cap:
                self.grow[slot] = self.now + self.link.rtt_ns

    def rates(self) -> dict[int, int]:
        """Billionths of bytes a nanosecond, of transfers that still have bytes to carry."""
        waiting = sorted(slot for slot, left in self.left.items() if left)
        rest, given = self.link.bandwidth, dict[int, int]()
        while waiting:
            share = rest // len(waiting)
            modest = [slot for slot in waiting if self.limit[slot] <= share]
            if not modest:
                break
            for slot in modest:
                given[slot] = self.limit[slot]
                rest -= self.limit[slot]
                waiting.remove(slot)
        for slot in list(waiting):
            share, over = divmod(rest, len(waiting))
            given[slot] = min(share + over, self.limit[slot])
            rest -= share + over
            waiting.remove(slot)
        return given

    def next_change(self) -> float:
        """When a transfer ends or may be faster; one that has ended already ends now."""
        if 0 in self.left.values():
            return self.now
        ends = [self.now - -self.left[slot] // rate for slot, rate in self.rates().items()]
        return min([*ends, *self.grow.values()], default=math.inf)

    def carry(self, until: int) -> None:
        """Let bytes flow until then; nothing changes on the way."""
        for slot, rate in self.rates().items():
            self.left[slot] = max(self.left[slot] - rate * (until - self.now), 0)
            if not self.left[slot]:
                self.idle[slot] = until
                self.grow.pop(slot, None)
            elif self.grow.get(slot) == until:
                self.limit[slot] = min(2 * self.limit[slot], self.cap)
                del self.grow[slot]
                if self.limit[slot] < self.cap:
                    self.grow[slot] = until + self.link.rtt_ns
        self.now = until


class Client:
    """One cache, its programs one after the other, and its prefetch workers."""

    def __init__(self, number: int, model: Model) -> None:
        settings, layout, chunks = model.settings, model.workload.layout, len(model.workload.layout.size)
        policy, amplify = settings.policy, amplify_of(settings, model.workload)
        options = plan_options(settings.plan, amplify, prefetch_batch=settings.prefetch_batch)
        self.decider = Decider(
            layout,
            options,
            None if policy.name == "none" else settings.capacity,
            policy.functions,
            policy.arena(chunks),
            watermarks=None if policy.name == "none" or settings.capacity is None else settings.watermarks,
            window=windows(amplify, chunks),
        )
        self.number = number
        first, self.end = model.workload.client_first[number : number + 2].tolist()
        self.program = first - 1
        listed = model.bound.rows
        listed = listed if isinstance(listed, Batches) else cut(layout, options, listed)
        self.batches = deque(part.tolist() for part in np.split(listed.rows, listed.first[1:-1]) if len(part))
        self.queue = new_queue(chunks)
        self.ahead: Ahead | None = None
        self.rate = max(settings.prefetch_bandwidth, LEAST_BANDWIDTH) if settings.prefetch_bandwidth else 0
        self.level, self.since, self.spent = self.rate, int(model.workload.client_start[number]), 0
        self.alive = self.busy = 0
        self.idle: set[int] = set()
        self.thinking: set[int] = set()
        self.looking: set[int] = set()  # workers whose turn it is to ask the decider
        self.parked: set[int] = set()
        self.waiting: dict[int, tuple[int, int, int, bool]] = {}  # chunk, since, read, whether for a prefetch
        self.unread: dict[int, int] = {}
        self.kinds: dict[int, int] = {}

    def begin(self, segments: Segments, kind: int) -> Read:
        read = self.decider.begin(segments, kind)
        self.kinds[read.reg[Reg.TICKET]] = kind
        return read

    def take(self) -> list[int]:
        """What is to be fetched next: what was suggested, else of the list."""
        out = np.zeros(256, np.int64)
        count = take(self.decider.layout, self.decider.state, self.decider.options, self.queue, out)
        if count:
            return out[:count].tolist()
        return self.batches.popleft() if self.batches else []

    def pays(self, rows: list[int], now: int) -> int:
        """When a batch may begin: a bucket pays for it, and for what users read since."""
        layout, status = self.decider.layout, self.decider.state.status
        if not self.rate or all(status[row] == READY for row in rows):
            return now
        due = min(int(layout.end[rows[-1]] - layout.start[rows[0]]) + self.spent, 2 * self.rate)
        self.spent = 0
        level = min(self.rate, self.level + (now - self.since) * self.rate // BILLION)
        self.level = max(level - due, 0)
        self.since = now + (-((level - due) * BILLION // self.rate) if due > level else 0)
        return self.since


class Model:
    """One replay; `run` it and look at its attributes."""

    def __init__(self, workload: Workload, settings: Settings) -> None:
        self.workload, self.settings = workload, settings
        self.bound = bind_prefetch(settings, workload)
        self.threads = len(workload.thread_first) - 1
        self.now = 0
        self.pipe = Pipe(settings.link)
        self.free = set(range(settings.link.connections))
        self.holder: dict[int, int] = {}
        self.queue: deque[int] = deque()
        self.sent = 0
        self.next_send = 0
        self.tries: dict[int, int] = {}
        self.when: dict[int, float] = {}
        self.actors: dict[int, Process] = {}
        self.began: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.times = np.zeros((len(workload), 6), np.int64)  # start, dur, rtt, flow, wait, late
        self.requests: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()
        self.begun = self.cut = self.cut_request = 0
        self.clients = [Client(number, self) for number in range(len(workload.client_start))]

    def workers_of(self, client: Client) -> range:
        count = self.settings.prefetch_workers if client.batches or self.bound.ahead else 0
        return range(self.threads + client.number * count, self.threads + (client.number + 1) * count)

    def run(self) -> Model:
        """Let everything happen."""
        for client, workers in [(client, self.workers_of(client)) for client in self.clients]:
            start = int(self.workload.client_start[client.number])
            client.idle |= set(workers)
            self.give_work(client, start)
            self.next_program(client, start)
        while True:
            actor = min(self.when, key=lambda a: (self.when[a], a), default=None)
            t = math.inf if actor is None else self.when[actor]
            change = self.pipe.next_change()
            if change == t == math.inf:
                return self
            self.now = int(min(t, change))
            self.pipe.carry(self.now)
            if change <= t:
                self.land()
            else:
                assert actor is not None
                self.resume(self.ahead_of(actor))

    def ahead_of(self, actor: int) -> int:
        """At a program's start workers look before its threads read."""
        client = next((client for client in self.clients if actor in client.thinking), None)
        if client is None or self.now != self.began[client.program]:
            return actor
        return min((worker for worker in client.looking if self.when[worker] <= self.now), default=actor)

    def resume(self, actor: int) -> None:
        """Let an actor go on until it says when it wants to go on again."""
        self.when.pop(actor, None)
        for client in self.clients:
            client.looking.discard(actor)
            client.thinking.discard(actor)
        mine = self.actors[actor]
        try:
            until = next(mine)
        except StopIteration:
            return
        if until < math.inf and self.actors[actor] is mine:
            self.when[actor] = until

    def next_program(self, client: Client, t: int) -> None:
        """A new process starts at `t`, unless there is none left."""
        if client.program + 1 == client.end:
            return
        client.program += 1
        self.began[client.program] = t
        self.evict(client, client.decider.open([]))
        client.ahead = self.bound.fresh()
        client.queue.ends[0] = client.queue.ends[1]
        first, end = self.workload.program_first[client.program : client.program + 2].tolist()
        client.alive = end - first
        for thread in range(first, end):
            self.actors[thread] = self.think_and_read(client, thread)
            self.when[thread] = self.read_begins(client, int(self.workload.thread_first[thread]), t)
            client.thinking.add(thread)
        self.unpark(client, t)

    def read_begins(self, client: Client, read: int, t: int) -> int:
        if self.settings.loop == "open":
            return max(self.began[client.program] + int(self.workload.due_ns[read]), t)
        return t + int(self.workload.think_ns[read])

    def think_and_read(self, client: Client, thread: int) -> Process:
        first, end = self.workload.thread_first[thread : thread + 2].tolist()
        for read in range(first, end):
            if read > first:
                client.thinking.add(thread)
                yield self.read_begins(client, read, self.now)
            yield from self.read(client, thread, read)
        client.alive -= 1
        if not client.alive:
            self.ended[client.program] = self.now
            if not client.busy:
                self.next_program(client, self.now)

    def read(self, client: Client, thread: int, read: int) -> Process:
        work = self.workload
        if self.begun == self.settings.warm_up > 0:
            self.cut, self.cut_request = self.now, len(self.requests)
            self.totals.clear()
        self.begun += 1
        start = self.now
        if self.settings.loop == "open":
            start = self.began[client.program] + int(work.due_ns[read])
            self.times[read, 5] = self.now - start
        self.times[read, 0] = start
        part = slice(*work.first[read : read + 2])
        segments = Segments(*(column[part].tolist() for column in work.segments))
        client.spent += sum(segments.length)
        self.look_ahead(client, segments)
        if segments.chunk:
            came = yield from self.do(client, thread, client.begin(segments, USER), read)
            self.totals["failures"] += not came
        else:
            yield self.now + self.settings.cpu.hit_ns
            if client.decider.state.counters[BLOCKED] == 0:
                self.unpark(client, self.now + self.settings.cpu.wake_ns)
        self.times[read, 1] = self.now - start

    def look_ahead(self, client: Client, segments: Segments) -> None:
        if client.ahead is None:
            return
        out = np.zeros(len(self.workload.layout.size), np.int64)
        if suggest(client.ahead, client.decider.state, segments, 0, len(segments.chunk), client.queue, out):
            self.give_work(client, self.now + self.settings.cpu.wake_ns)

    def give_work(self, client: Client, t: int) -> None:
        """Who has nothing to do takes a batch, the lowest first."""
        for worker in sorted(client.idle):
            rows = client.take()
            if not rows:
                return
            client.idle.remove(worker)
            self.actors[worker] = self.work(client, worker, rows)
            self.when[worker] = client.pays(rows, t)
            client.looking.add(worker)

    def work(self, client: Client, worker: int, rows: list[int]) -> Process:
        while rows:
            sizes = [client.decider.layout.size[row] for row in rows]
            yield from self.do(client, worker, client.begin(Segments(rows, [0] * len(rows), sizes), PREFETCH), -1)
            rows = client.take()
            if rows:  # it is the worker's next turn
                client.looking.add(worker)
                yield client.pays(rows, self.now)
        client.idle.add(worker)

    def do(self, client: Client, actor: int, read: Read, number: int) -> Generator[float, None, bool]:
        """A read, or a batch, from its first look to its end; false if a read failed."""
        waited: set[int] = set()
        while True:
            while number < 0 and not client.alive:
                yield from self.park(client, actor)
            action = client.decider.advance(read)
            if number >= 0 and client.decider.state.counters[BLOCKED] == 0:
                self.unpark(client, self.now + self.settings.cpu.wake_ns)
            if action == COMPLETE:
                return True
            if action == SERVE:
                yield self.now + self.serve(client, read, waited)
                client.decider.served(read)
            elif action == WAIT:
                waited.add(read.reg[Reg.POS] if self.settings.plan == "exact" else read.reg[Reg.SCAN])
                yield from self.wait(client, actor, read, number)
            elif action == FETCH:
                came = yield from self.fetch(client, actor, read, number)
                if number >= 0 and not came:
                    return False
            else:
                yield from self.park(client, actor)

    def park(self, client: Client, actor: int) -> Process:
        client.parked.add(actor)
        yield math.inf

    def unpark(self, client: Client, t: int) -> None:
        for actor in client.parked:
            self.when[actor] = t
        client.looking |= client.parked
        client.parked.clear()

    def serve(self, client: Client, read: Read, waited: set[int]) -> int:
        size = 0
        hit = 0
        for pos in read.span:
            self.totals["used"] += client.unread.pop(read.segments.chunk[pos], 0) > 0
            size += read.segments.length[pos]
            if pos not in waited:
                hit += read.segments.length[pos]
        self.totals["bytes_hit"] += hit
        self.totals["bytes_waited"] += size - hit
        self.totals["hits"] += hit > 0
        return self.settings.cpu.hit_ns + size * self.settings.cpu.hit_ns_per_mib // MIB

    def wait(self, client: Client, actor: int, read: Read, number: int) -> Process:
        chunk = read.reg[Reg.WAITING]
        late = client.kinds.get(client.decider.state.owner[chunk]) == PREFETCH
        client.waiting[actor] = chunk, self.now, number, late
        yield math.inf if self.settings.plan == "exact" else self.now + PATIENCE
        if actor in client.waiting:
            self.end_wait(client, actor)
            client.decider.give_up_wait(read)

    def end_wait(self, client: Client, actor: int) -> None:
        _, since, number, late = client.waiting.pop(actor)
        self.times[number, 4] += self.now - since
        self.totals["waits"] += 1
        self.totals["late"] += late
        self.totals["late_ns"] += late * (self.now - since)

    def wake(self, client: Client) -> None:
        """Waits end for those whose chunk is no longer in flight."""
        for actor, (chunk, *_) in list(client.waiting.items()):
            if client.decider.state.status[chunk] in (ABSENT, READY):
                self.end_wait(client, actor)
                self.when[actor] = self.now

    def fetch(self, client: Client, actor: int, read: Read, number: int) -> Generator[float, None, bool]:
        layout, asked = client.decider.layout, self.now
        offset, length = layout.start[read.chunks[0]], layout.end[read.chunks[-1]] - layout.start[read.chunks[0]]
        row = {"t_ns": asked, "read": number, "first": read.chunks[0], "last": read.chunks[-1]}
        row |= {"offset": offset, "length": length, "client": client.number}
        row |= dict.fromkeys(("demand", "amplify", "gap", "refetch", "prefetch", "failed"), 0)
        self.requests.append(row)
        client.busy += number < 0
        if self.free:
            slot = min(self.free)
            self.free.remove(slot)
            self.connect(actor, slot)
            yield self.when[actor]
        else:
            self.queue.append(actor)
            yield math.inf
        byte, slot = self.now, next(slot for slot, holder in self.holder.items() if holder == actor)
        row["tries"] = abs(self.tries[actor])
        if self.tries[actor] > 0:
            self.pipe.begin(slot, length)
            yield math.inf
        else:
            row["failed"] = 1
            self.pass_on(slot)
        row |= {"dur_ns": self.now - asked, "ttfb_ns": byte - asked}
        if number >= 0:
            self.times[number, 2] += byte - asked
            self.times[number, 3] += self.now - byte
        if row["failed"]:
            self.give_up(client, read, number)
            return False
        decoded = self.admit(client, read, number, row)
        self.wake(client)
        yield self.now + self.settings.cpu.fetch_ns + decoded * self.settings.cpu.decode_ns_per_mib // MIB
        client.decider.persisted(read)
        self.wake(client)
        self.end_request(client, number)
        return True

    def give_up(self, client: Client, read: Read, number: int) -> None:
        """The request was refused for good."""
        client.decider.abandon(read)
        self.wake(client)
        if number >= 0 and client.decider.state.counters[BLOCKED] == 0:
            self.unpark(client, self.now + self.settings.cpu.wake_ns)
        self.end_request(client, number)

    def end_request(self, client: Client, number: int) -> None:
        client.busy -= number < 0
        if number < 0 and not client.alive and not client.busy:
            self.next_program(client, self.now)

    def connect(self, actor: int, slot: int) -> None:
        link = self.settings.link
        at = max(self.now, self.next_send)
        self.next_send = at + (BILLION // link.requests_per_second if link.requests_per_second else 0)
        self.tries[actor] = tries_of(link.seed, self.sent, link.errors_ppm, link.retries)
        for attempt in range(abs(self.tries[actor])):
            at += link.rtt_ns + quantile_of(link.late, draw(link.seed, self.sent, 2 * attempt + 1))
        self.sent += 1
        self.totals["retries"] += abs(self.tries[actor]) - 1
        self.holder[slot] = actor
        self.when[actor] = at

    def land(self) -> None:
        """A transfer is through, if it is not just that one may be faster now."""
        slot = min((slot for slot, left in self.pipe.left.items() if left == 0), default=None)
        if slot is None:
            return
        del self.pipe.left[slot]
        actor = self.holder[slot]
        self.pass_on(slot)
        self.resume(actor)

    def pass_on(self, slot: int) -> None:
        del self.holder[slot]
        if self.queue:
            self.connect(self.queue.popleft(), slot)
        else:
            self.free.add(slot)

    def admit(self, client: Client, read: Read, number: int, row: dict[str, Any]) -> int:
        """Chunks arrive; returns the bytes to decode."""
        status, layout = client.decider.state.status, client.decider.layout
        there = {chunk for chunk in read.chunks if status[chunk] in (READY, STORING)}
        self.evict(client, client.decider.arrive(read))
        mine = {chunk for chunk in read.chunks if client.decider.is_mine(read, chunk, STORING)}
        wanted = {read.segments.chunk[pos]: read.segments.length[pos] for pos in read.span}
        paying = _paying(layout.unit, read.chunks, wanted, there)
        come = layout.start[read.chunks.start]
        for chunk in read.chunks:
            length = 0
            if chunk in paying:  # from where the piece of a gzip stream before it has come
                length = max(layout.end[chunk] - max(layout.start[chunk], come), 0)
                come = max(layout.end[chunk], come)
            if number < 0:
                row["prefetch"] += length
                self.totals["prefetched"] += 1
                if chunk in mine:
                    client.unread[chunk] = length
                else:
                    self.totals["wasted"] += length
            else:
                row["refetch" if chunk in there else "demand" if chunk in wanted else "amplify"] += length
                self.totals["bytes_fetched"] += wanted.get(chunk, 0)
        row["gap"] = row["length"] - sum(row[cause] for cause in ("demand", "amplify", "refetch", "prefetch"))
        decoded = sum(layout.size[chunk] for chunk in read.chunks if chunk in wanted or chunk in mine)
        self.totals["fetched"] += len(read.chunks)
        self.totals["bytes_decoded"] += decoded
        return int(decoded)

    def evict(self, client: Client, victims: list[int]) -> None:
        for chunk in victims:
            self.totals["evictions"] += 1
            self.totals["bytes_evicted"] += client.decider.layout.size[chunk]
            self.totals["wasted"] += client.unread.pop(chunk, 0)
            client.decider.evicted(chunk)


def _paying(unit: Sequence[int], chunks: Iterable[int], wanted: Container[int], there: Container[int]) -> set[int]:
    """Of each unit the chunk that its bytes are put down to."""
    best: dict[int, tuple[bool, bool, int]] = {}
    for chunk in chunks:
        rank = (chunk not in wanted, chunk in there, chunk)
        best[unit[chunk]] = min(best.get(unit[chunk], rank), rank)
    return {chunk for _, _, chunk in best.values()}
