"""The replay engine once more, from its description: plain Python, one generator an actor, slow and obvious.

Only the decider, the policies and the keyed random numbers are shared with the engine.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Generator
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
    Amplify,
    Decider,
    Read,
    Reg,
    Segments,
    batch_end,
    new_queue,
    plan_options,
    suggest,
    take,
)
from workbench.replay import Settings, Workload
from workbench.replay._settings import bind_prefetch

PATIENCE = 2_000_000_000
MIB = 1 << 20
BILLION = 1_000_000_000
RESTART = 200_000_000
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
        settings, layout = model.settings, model.workload.layout
        policy, chunks = settings.policy, len(layout.size)
        capacity = None if policy.name == "none" else settings.capacity
        amplify = settings.amplify_io if isinstance(settings.amplify_io, Amplify) else None
        options = plan_options(settings.plan, settings.amplify_io)
        self.decider = Decider(layout, options, capacity, policy.functions, policy.arena(chunks), False, amplify)
        self.unbounded = capacity is None
        self.number, self.model = number, model
        first, self.end = model.workload.client_first[number : number + 2].tolist()
        self.program = first - 1
        self.batches: deque[list[int]] = deque()
        rows = model.bound.rows.tolist()
        while rows:
            end = batch_end(layout, options, rows, 0)
            self.batches.append(rows[:end])
            rows = rows[end:]
        self.queue = new_queue(chunks)
        self.ahead: Ahead | None = None
        self.free = 0
        self.alive = self.busy = 0
        self.idle = set(model.workers_of(number))
        self.parked: set[int] = set()
        self.sleeping: set[int] = set()
        self.waiting: dict[int, tuple[int, int, int, bool]] = {}  # chunk, since, read, whether for a prefetch
        self.unread: dict[int, int] = {}
        self.kinds: dict[int, int] = {}

    def begin(self, segments: Segments, kind: int) -> Read:
        read = self.decider.begin(segments, kind)
        self.kinds[read.reg[Reg.TICKET]] = kind
        return read


class Model:
    """One replay; `run` it and look at its attributes."""

    def __init__(self, workload: Workload, settings: Settings) -> None:
        self.workload, self.settings = workload, settings
        self.bound = bind_prefetch(settings, workload)
        self.threads = len(workload.thread_first) - 1
        self.now = 0
        self.pipe = Pipe(settings.link)
        self.unused = set(range(settings.link.connections))
        self.holder: dict[int, int] = {}
        self.queue: deque[int] = deque()
        self.sent = 0
        self.next_send = 0
        self.tries: dict[int, int] = {}
        self.cores = [0] * settings.cpu.workers
        self.when: dict[int, float] = {}
        self.actors: dict[int, Process] = {}
        self.began: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.times = np.zeros((len(workload), 6), np.int64)  # start, dur, rtt, flow, wait, late
        self.requests: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()
        self.begun = self.cut = self.cut_request = 0
        self.clients = [Client(number, self) for number in range(len(workload.client_start))]

    def workers_of(self, client: int) -> range:
        count = self.settings.prefetch_workers if len(self.bound.rows) or self.bound.ahead else 0
        return range(self.threads + client * count, self.threads + (client + 1) * count)

    def run(self) -> Model:
        """Let everything happen."""
        for client in self.clients:
            if client.program + 1 == client.end:
                continue
            start = int(self.workload.client_start[client.number])
            if self.settings.cold_open and len(self.workload.meta):
                opener = int(self.workload.program_first[client.program + 1])
                self.began[client.program + 1] = start
                self.actors[opener] = self.open(client, opener)
                self.when[opener] = start
            else:
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
                self.resume(actor)

    def resume(self, actor: int) -> None:
        """Let an actor go on until it says when it wants to go on again."""
        self.when.pop(actor, None)
        mine = self.actors[actor]
        try:
            until = next(mine)
        except StopIteration:
            return
        if until < math.inf and self.actors[actor] is mine:
            self.when[actor] = until

    def open(self, client: Client, opener: int) -> Process:
        for _, offset, length in self.workload.meta.tolist():
            row = self.new_row(client, -1, -1, -1, offset, length)
            while not (yield from self.transfer(opener, row)):
                yield self.now
                row = self.new_row(client, -1, -1, -1, offset, length)
            row["meta"] = length
            if [offset, length] != self.workload.meta[-1, 1:].tolist():
                yield self.now
        self.next_program(client, self.now)

    def next_program(self, client: Client, t: int) -> None:
        """A new process starts at `t`, unless there is none left."""
        if client.program + 1 == client.end:
            return
        client.program += 1
        client.free = t
        self.began.setdefault(client.program, t)
        self.evict(client, client.decider.open([]))
        client.ahead = self.bound.fresh()
        first, end = self.workload.program_first[client.program : client.program + 2].tolist()
        client.alive = end - first
        for thread in range(first, end):
            self.actors[thread] = self.think_and_read(client, thread)
            self.when[thread] = self.read_begins(client, int(self.workload.thread_first[thread]), t)
        self.give_work(client, t)

    def read_begins(self, client: Client, read: int, t: int) -> int:
        if self.settings.loop == "open":
            return max(self.began[client.program] + int(self.workload.due_ns[read]), t)
        return t + int(self.workload.think_ns[read])

    def think_and_read(self, client: Client, thread: int) -> Process:
        first, end = self.workload.thread_first[thread : thread + 2].tolist()
        for read in range(first, end):
            if read > first:
                yield self.read_begins(client, read, self.now)
            yield from self.read(client, thread, read)
        client.alive -= 1
        if not client.alive:
            self.end_program(client)

    def end_program(self, client: Client) -> None:
        """Drop what is queued, and who has not asked yet; await the rest."""
        self.ended[client.program] = self.now
        client.batches.clear()
        client.queue.ends[0] = client.queue.ends[1]
        for worker in client.parked | client.sleeping:
            self.when.pop(worker, None)
            client.idle.add(worker)
        client.parked.clear()
        client.sleeping.clear()
        if not client.busy:
            self.next_program(client, self.now)

    def give_work(self, client: Client, t: int) -> None:
        """Who has nothing to do takes a batch, the lowest first."""
        for worker in sorted(client.idle):
            rows = self.take(client)
            if not rows:
                return
            client.idle.remove(worker)
            self.actors[worker] = self.work(client, worker, rows)
            self.when[worker] = self.paced(client, rows, t)
            client.sleeping.add(worker)

    def take(self, client: Client) -> list[int]:
        out = np.zeros(256, np.int64)
        count = take(client.decider.layout, client.decider.options, client.queue, out)
        if count:
            return out[:count].tolist()
        return client.batches.popleft() if client.batches else []

    def paced(self, client: Client, rows: list[int], t: int) -> int:
        layout, rate = self.workload.layout, self.settings.prefetch_rate
        if not rate:
            return t
        begin = max(t, client.free)
        client.free = begin + int(layout.end[rows[-1]] - layout.start[rows[0]]) * BILLION // rate
        return begin

    def work(self, client: Client, worker: int, rows: list[int]) -> Process:
        while rows:
            client.sleeping.discard(worker)
            sizes = [client.decider.layout.size[row] for row in rows]
            batch = client.begin(Segments(rows, [0] * len(rows), sizes), PREFETCH)
            going = yield from self.do(client, worker, batch, -1)
            if not going:
                return
            rows = self.take(client)
            if rows:
                client.sleeping.add(worker)
                yield self.paced(client, rows, self.now)
        client.idle.add(worker)

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
        self.look_ahead(client, segments)
        status = client.decider.state.status
        ready = all(status[chunk] == READY for chunk in segments.chunk)
        if not segments.chunk:
            yield self.now + self.settings.cpu.hit_ns
            if client.decider.state.counters[BLOCKED] == 0:
                self.unpark(client)
        elif client.unbounded and ready:
            yield self.now + self.serve(client, segments, range(len(segments.chunk)), set())
            if client.decider.state.counters[BLOCKED] == 0:
                self.unpark(client)
        else:
            going = yield from self.do(client, thread, client.begin(segments, USER), read)
            self.totals["failures"] += not going
        self.times[read, 1] = self.now - start

    def look_ahead(self, client: Client, segments: Segments) -> None:
        if client.ahead is None:
            return
        out = np.zeros(len(self.workload.layout.size), np.int64)
        state, end = client.decider.state, len(segments.chunk)
        if suggest(*client.ahead, state, segments, 0, end, client.queue, out):
            self.give_work(client, self.now)

    def do(self, client: Client, actor: int, read: Read, number: int) -> Generator[float, None, bool]:
        """A read, or a batch, from its first look to its end; false if it was given up."""
        waited: set[int] = set()
        while True:
            action = client.decider.advance(read)
            if number >= 0 and client.decider.state.counters[BLOCKED] == 0:
                self.unpark(client)
            if action == COMPLETE:
                return True
            if action == SERVE:
                yield self.now + self.serve(client, read.segments, read.span, waited)
                client.decider.served(read)
            elif action == WAIT:
                waited.add(read.reg[Reg.POS] if self.settings.plan == "exact" else read.reg[Reg.SCAN])
                yield from self.wait(client, actor, read, number)
            elif action == FETCH:
                came = yield from self.fetch(client, actor, read, number)
                if number < 0:
                    client.busy -= 1
                    self.totals["dropped"] += not came
                    if not client.alive:
                        client.idle.add(actor)
                        if not client.busy:
                            self.next_program(client, self.now)
                        return False
                if not came:
                    return number < 0
            else:
                client.parked.add(actor)
                yield math.inf
                client.sleeping.discard(actor)

    def unpark(self, client: Client) -> None:
        for actor in client.parked:
            self.when[actor] = self.now
            client.sleeping.add(actor)
        client.parked.clear()

    def serve(self, client: Client, segments: Segments, span: range, waited: set[int]) -> int:
        size = hit = 0
        for pos in span:
            self.totals["used"] += client.unread.pop(segments.chunk[pos], None) is not None
            size += segments.length[pos]
            if pos not in waited:
                hit += segments.length[pos]
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

    def new_row(self, client: Client, number: int, first: int, last: int, offset: int, length: int) -> dict[str, Any]:
        row = {"t_ns": self.now, "read": number, "first": first, "last": last, "offset": offset, "length": length}
        row |= dict.fromkeys(("demand", "amplify", "gap", "refetch", "prefetch", "meta", "failed"), 0)
        row["client"] = client.number
        self.requests.append(row)
        return row

    def transfer(self, actor: int, row: dict[str, Any]) -> Generator[float, None, bool]:
        """A request from the wish for a connection to its last byte; false if it was refused."""
        if self.unused:
            slot = min(self.unused)
            self.unused.remove(slot)
            self.connect(actor, slot)
            yield self.when[actor]
        else:
            self.queue.append(actor)
            yield math.inf
        byte, slot = self.now, next(slot for slot, holder in self.holder.items() if holder == actor)
        row["tries"] = abs(self.tries[actor])
        if self.tries[actor] > 0:
            self.pipe.begin(slot, row["length"])
            yield math.inf
        else:
            row["failed"] = 1
            self.pass_on(slot)
        row |= {"dur_ns": self.now - row["t_ns"], "ttfb_ns": byte - row["t_ns"]}
        if row["read"] >= 0:
            self.times[row["read"], 2] += byte - row["t_ns"]
            self.times[row["read"], 3] += self.now - byte
        return self.tries[actor] > 0

    def fetch(self, client: Client, actor: int, read: Read, number: int) -> Generator[float, None, bool]:
        layout, cpu = client.decider.layout, self.settings.cpu
        first, last = read.chunks[0], read.chunks[-1]
        row = self.new_row(client, number, first, last, layout.start[first], layout.end[last] - layout.start[first])
        client.busy += number < 0
        came = yield from self.transfer(actor, row)
        if not came:
            client.decider.abandon(read)
            self.wake(client)
            if number >= 0 and client.decider.state.counters[BLOCKED] == 0:
                self.unpark(client)
            return False
        spent = self.admit(client, read, number, row) * (cpu.decode_ns_per_mib + cpu.verify_ns_per_mib) // MIB
        begin = self.now + cpu.fetch_ns
        if self.cores:
            core = self.cores.index(min(self.cores))
            begin = max(begin, self.cores[core])
            self.cores[core] = begin + spent
        self.wake(client)
        yield begin + spent
        client.decider.persisted(read)
        self.wake(client)
        return True

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
            self.unused.add(slot)

    def admit(self, client: Client, read: Read, number: int, row: dict[str, Any]) -> int:
        """Chunks arrive; returns the bytes to decode."""
        status, layout = client.decider.state.status, client.decider.layout
        there = {chunk for chunk in read.chunks if status[chunk] in (READY, STORING)}
        self.evict(client, client.decider.arrive(read))
        mine = {chunk for chunk in read.chunks if client.decider.is_mine(read, chunk, STORING)}
        wanted = {read.segments.chunk[pos]: read.segments.length[pos] for pos in read.span}
        for chunk in read.chunks:
            length = layout.end[chunk] - layout.start[chunk]
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
