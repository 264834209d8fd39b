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
    Decider,
    Read,
    Reg,
    Segments,
    batch_end,
    plan_options,
)
from workbench.replay import Settings, Workload
from workbench.replay._settings import prefetch_rows

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


class Model:
    """One replay; `run` it and look at its attributes."""

    def __init__(self, workload: Workload, settings: Settings) -> None:
        self.workload, self.settings = workload, settings
        policy, chunks = settings.policy, len(workload.layout.size)
        capacity = None if policy.name == "none" else settings.capacity
        options = plan_options(settings.plan, settings.amplify_io, prefetch_batch=settings.prefetch_batch)
        self.decider = Decider(workload.layout, options, capacity, policy.functions, policy.arena(chunks))
        rows = prefetch_rows(settings.prefetch, workload).tolist()
        self.batches: deque[list[int]] = deque()
        while rows:
            end = batch_end(workload.layout, options, rows, 0)
            self.batches.append(rows[:end])
            rows = rows[end:]
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
        self.waiting: dict[int, int] = {}
        self.thinking: set[int] = set()
        self.parked: set[int] = set()
        self.looking: set[int] = set()  # workers whose turn it is to ask the decider
        self.program = -1
        self.alive = self.busy = 0
        self.began: list[int] = []
        self.ended: list[int] = []
        self.times = np.zeros((len(workload), 5), np.int64)  # start, dur, rtt, flow, wait
        self.requests: list[dict[str, Any]] = []
        self.totals: Counter[str] = Counter()
        self.ahead: dict[int, int] = {}

    def run(self) -> Model:
        """Let everything happen."""
        if self.batches:
            for worker in range(self.threads, self.threads + self.settings.prefetch_workers):
                self.start(worker, self.work(worker))
        self.next_program()
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
                if self.now == self.began[-1] and actor in self.thinking:
                    actor = min(self.looking, default=actor)
                self.resume(actor)

    def start(self, actor: int, process: Process) -> None:
        self.actors[actor] = process
        self.resume(actor)

    def resume(self, actor: int) -> None:
        """Let an actor go on until it says when it wants to go on again."""
        self.when.pop(actor, None)
        self.looking.discard(actor)
        try:
            until = next(self.actors[actor])
        except StopIteration:
            return
        if until < math.inf:
            self.when[actor] = until

    def next_program(self) -> None:
        if self.program + 1 == len(self.workload.programs):
            return
        self.program += 1
        self.began.append(self.now)
        self.evict(self.decider.open([]))
        first, end = self.workload.program_first[self.program : self.program + 2]
        self.alive = int(end - first)
        for thread in range(first, end):
            self.start(thread, self.think_and_read(thread))
        self.unpark()

    def think_and_read(self, thread: int) -> Process:
        work, model = self.workload, self.settings.cpu
        for read in range(*work.thread_first[thread : thread + 2]):
            self.thinking.add(thread)
            yield self.now + int(work.think_ns[read])
            self.thinking.remove(thread)
            self.times[read, 0] = self.now
            part = slice(*work.first[read : read + 2])
            segments = Segments(*(column[part].tolist() for column in work.segments))
            if segments.chunk:
                came = yield from self.do(thread, self.decider.begin(segments, USER), read)
                self.totals["failures"] += not came
            else:
                yield self.now + model.hit_ns
                if self.decider.state.counters[BLOCKED] == 0:
                    self.unpark()
            self.times[read, 1] = self.now - self.times[read, 0]
        self.alive -= 1
        if not self.alive:
            self.ended.append(self.now)
            if not self.busy:
                self.next_program()

    def work(self, worker: int) -> Process:
        rows = self.take_batch()
        while rows:
            sizes = [self.decider.layout.size[row] for row in rows]
            yield from self.do(worker, self.decider.begin(Segments(rows, [0] * len(rows), sizes), PREFETCH), -1)
            rows = self.take_batch()
            self.looking.add(worker)
            yield self.now  # it is the worker's next turn

    def take_batch(self) -> list[int]:
        return self.batches.popleft() if self.batches else []

    def do(self, actor: int, read: Read, number: int) -> Generator[float, None, bool]:
        """A read, or a batch, from its first look to its end; false if a read failed."""
        waited: set[int] = set()
        while True:
            while number < 0 and not self.alive:
                yield from self.park(actor)
            action = self.decider.advance(read)
            if number >= 0 and self.decider.state.counters[BLOCKED] == 0:
                self.unpark()
            if action == COMPLETE:
                return True
            if action == SERVE:
                yield self.now + self.serve(read, waited)
                self.decider.served(read)
            elif action == WAIT:
                waited.add(read.reg[Reg.POS] if self.settings.plan == "exact" else read.reg[Reg.SCAN])
                yield from self.wait(actor, read, number)
            elif action == FETCH:
                came = yield from self.fetch(actor, read, number)
                if number >= 0 and not came:
                    return False
            else:
                yield from self.park(actor)

    def park(self, actor: int) -> Process:
        self.parked.add(actor)
        yield math.inf

    def unpark(self) -> None:
        for actor in self.parked:
            self.when[actor] = self.now
        self.looking |= self.parked
        self.parked.clear()

    def serve(self, read: Read, waited: set[int]) -> int:
        size = 0
        hit = 0
        for pos in read.span:
            self.ahead.pop(read.segments.chunk[pos], None)
            size += read.segments.length[pos]
            if pos not in waited:
                hit += read.segments.length[pos]
        self.totals["bytes_hit"] += hit
        self.totals["bytes_waited"] += size - hit
        self.totals["hits"] += hit > 0
        return self.settings.cpu.hit_ns + size * self.settings.cpu.hit_ns_per_mib // MIB

    def wait(self, actor: int, read: Read, number: int) -> Process:
        since = self.now
        self.waiting[actor] = read.reg[Reg.WAITING]
        yield math.inf if self.settings.plan == "exact" else self.now + PATIENCE
        if actor in self.waiting:
            del self.waiting[actor]
            self.decider.give_up_wait(read)
        self.times[number, 4] += self.now - since
        self.totals["waits"] += 1

    def wake(self) -> None:
        for actor, chunk in list(self.waiting.items()):
            if self.decider.state.status[chunk] in (ABSENT, READY):
                del self.waiting[actor]
                self.when[actor] = self.now

    def fetch(self, actor: int, read: Read, number: int) -> Generator[float, None, bool]:
        layout, asked = self.decider.layout, self.now
        offset, length = layout.start[read.chunks[0]], layout.end[read.chunks[-1]] - layout.start[read.chunks[0]]
        row = {"t_ns": asked, "read": number, "first": read.chunks[0], "last": read.chunks[-1]}
        row |= {"offset": offset, "length": length}
        row |= dict.fromkeys(("demand", "amplify", "gap", "refetch", "prefetch", "failed"), 0)
        self.requests.append(row)
        self.busy += number < 0
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
            self.give_up(read, number)
            return False
        decoded = self.admit(read, number, row)
        self.wake()
        yield self.now + self.settings.cpu.fetch_ns + decoded * self.settings.cpu.decode_ns_per_mib // MIB
        self.decider.persisted(read)
        self.wake()
        self.end_request(number)
        return True

    def give_up(self, read: Read, number: int) -> None:
        """The request was refused for good."""
        self.decider.abandon(read)
        self.wake()
        if number >= 0 and self.decider.state.counters[BLOCKED] == 0:
            self.unpark()
        self.end_request(number)

    def end_request(self, number: int) -> None:
        self.busy -= number < 0
        if number < 0 and not self.alive and not self.busy:
            self.next_program()

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

    def admit(self, read: Read, number: int, row: dict[str, Any]) -> int:
        """Chunks arrive; returns the bytes to decode."""
        status, layout = self.decider.state.status, self.decider.layout
        there = {chunk for chunk in read.chunks if status[chunk] in (READY, STORING)}
        self.evict(self.decider.arrive(read))
        mine = {chunk for chunk in read.chunks if self.decider.is_mine(read, chunk, STORING)}
        wanted = {read.segments.chunk[pos]: read.segments.length[pos] for pos in read.span}
        paying = _paying(layout.unit, read.chunks, wanted, there)
        for chunk in read.chunks:
            length = layout.end[chunk] - layout.start[chunk] if chunk in paying else 0
            if number < 0:
                row["prefetch"] += length
                if chunk in mine:
                    self.ahead[chunk] = length
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

    def evict(self, victims: list[int]) -> None:
        for chunk in victims:
            self.totals["evictions"] += 1
            self.totals["bytes_evicted"] += self.decider.layout.size[chunk]
            self.totals["wasted"] += self.ahead.pop(chunk, 0)
            self.decider.evicted(chunk)


def _paying(unit: Sequence[int], chunks: Iterable[int], wanted: Container[int], there: Container[int]) -> set[int]:
    """Of each unit the chunk that its bytes are put down to."""
    best: dict[int, tuple[bool, bool, int]] = {}
    for chunk in chunks:
        rank = (chunk not in wanted, chunk in there, chunk)
        best[unit[chunk]] = min(best.get(unit[chunk], rank), rank)
    return {chunk for _, _, chunk in best.values()}
