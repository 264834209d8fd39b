"""All that the engine works on: named tuples of arrays and integers, so that numba takes them as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

from storage.backend._link import LinkState
from storage.plan import Ahead, Layout, Options, Policy, Queue, Segments, State
from workbench.replay._schedule import Schedule

__all__ = [
    "COUNTERS",
    "LOG_COLUMNS",
    "REQUEST_COLUMNS",
    "Actors",
    "Count",
    "Counters",
    "Log",
    "Model",
    "OWN_COLUMNS",
    "Out",
    "Own",
    "Phase",
    "Phases",
    "Request",
    "Requests",
    "Suggesting",
    "Trace",
    "World",
]


class Trace(NamedTuple):
    """A workload as the engine reads it: reads by thread, threads by program.

    Attributes
    ----------
    first : (reads + 1,) int64
        Where the read's segments begin.
    think, due : (reads,) int64
        Nanoseconds since the thread's last read, or the program's start; and since the program's start.
    thread_first : (threads + 1,) int64
        Where the thread's reads begin.
    program_first : (programs + 1,) int64
        Where the program's threads begin.
    batch_first : (batches + 1,) int64
        Where each prefetch batch's segments begin, behind those of the reads.
    single : (chunks,) uint8
        Whether no unit and no amplification takes others along when the chunk is fetched.
    """

    first: Any
    think: Any
    due: Any
    thread_first: Any
    program_first: Any
    batch_first: Any
    single: Any


class Model(NamedTuple):
    """The CPU, in nanoseconds, and nanoseconds for each MiB; and what is done beyond reading, 0 for no.

    `reactive`: whether a policy answers reads. `warm_up`: reads before anything counts, negative for none.
    """

    hit: int
    copy: int
    fetch: int
    decode: int
    wake: int
    recording: int
    reactive: int
    open_loop: int
    warm_up: int


class Phases(NamedTuple):
    """What an actor is doing."""

    IDLE: int = 0
    THINK: int = 1  # until its next read
    LOOK: int = 2  # it is about to ask the decider
    SERVE: int = 3  # copying from the cache
    QUEUE: int = 4  # for a connection
    COME: int = 5  # until the first byte, or the last refusal
    FLOW: int = 6  # until the last byte
    DECODE: int = 7
    WAIT: int = 8  # for somebody else's fetch
    PARK: int = 9  # a worker that stepped back


Phase = Phases()


class Actors(NamedTuple):
    """Threads first, prefetch workers behind them; all (actors,) int64 but `reg`.

    Attributes
    ----------
    reg : (actors, REGISTERS)
        Registers of the read or batch under way.
    client
        Whose it is.
    late
        Whether it waits for a prefetch.
    phase
    job
        The read, or the batch.
    began
        When its read began, or was due.
    since
        When the present wait or request began.
    byte
        When the request's first byte came.
    fetch
        The request, as a row of `Out.requests`.
    slot
        The connection.
    tries
        How often the request is sent; negative if it fails for good.
    queue
        Who waits for a connection: a ring.
    holder : (connections,)
        Whose connection it is; -1 for nobody's.
    flowing : (connections,)
        Whether bytes flow over it, or have all arrived and were not taken yet.
    """

    reg: Any
    client: Any
    late: Any
    phase: Any
    job: Any
    began: Any
    since: Any
    byte: Any
    fetch: Any
    slot: Any
    tries: Any
    queue: Any
    holder: Any
    flowing: Any


class Counters(NamedTuple):
    """Entries of `World.count`."""

    LINK_CHANGE: int = 0  # when the next transfer ends, or may be faster
    BEGUN: int = 1  # reads
    QUEUED: int = 2  # ends of the ring
    UNQUEUED: int = 3
    REQUESTS: int = 4  # rows used
    LOGGED: int = 5
    LANDED: int = 6  # requests that are over
    CUT: int = 7  # when the warm-up was over
    CUT_REQUEST: int = 8  # the first request after it
    STARTED: int = 9  # whether time has begun
    HIT: int = 10  # from here on totals: bytes by where they came from
    WAITED: int = 11
    FETCHED: int = 12
    CHUNKS: int = 13  # fetched
    DECODED: int = 14  # bytes
    EVICTIONS: int = 15
    EVICTED: int = 16  # bytes
    WASTED: int = 17  # bytes prefetched and gone unread
    HITS: int = 18  # how often
    WAITS: int = 19
    RETRIES: int = 20
    FAILURES: int = 21  # reads
    PREFETCHED: int = 22  # chunks
    USED: int = 23  # of them, that were read
    LATE: int = 24  # waits for a prefetch
    LATE_NS: int = 25


Count = Counters()
COUNTERS = len(Count)


class Owned(NamedTuple):
    """Entries of `World.own`: what each client has of its own."""

    PROGRAM: int = 0  # the next to start
    PROGRAMS: int = 1  # where its programs end
    ALIVE: int = 2  # threads of the one under way that still read
    BUSY: int = 3  # workers with a request under way
    WAITING: int = 4  # threads that wait for a chunk
    BATCH: int = 5  # the next to be taken
    WORKER: int = 6  # its first worker
    WORKERS: int = 7  # where its workers end
    START: int = 8  # when its first program does
    CLIENT: int = 9  # which it is


Own = Owned()
OWN_COLUMNS = len(Own)


class Requests(NamedTuple):
    """Columns of `Out.requests`."""

    T: int = 0
    DUR: int = 1
    TTFB: int = 2
    READ: int = 3
    FIRST: int = 4
    LAST: int = 5
    OFFSET: int = 6
    LENGTH: int = 7
    DEMAND: int = 8
    AMPLIFY: int = 9
    GAP: int = 10
    REFETCH: int = 11
    PREFETCH: int = 12
    TRIES: int = 13
    FAILED: int = 14
    CLIENT: int = 15


Request = Requests()
REQUEST_COLUMNS = len(Request)


class Logs(NamedTuple):
    """Columns of `Out.log`: those of `storage.events.EVENTS`."""

    SEQ: int = 0
    T: int = 1
    DUR: int = 2
    TTFB: int = 3
    KIND: int = 4
    CAUSE: int = 5
    READ: int = 6
    FETCH: int = 7
    BLOB: int = 8
    CHUNK: int = 9
    CHUNKS: int = 10
    OFFSET: int = 11
    LENGTH: int = 12
    USER: int = 13
    WORKER: int = 14
    OUTCOME: int = 15


Log = Logs()
LOG_COLUMNS = len(Log)


class Out(NamedTuple):
    """What comes out.

    Attributes
    ----------
    dur, wait, late : (reads,) int64
        How long the read took, and of that: for others' fetches, and, where it has a time at which it is due, until
        its thread was free. When it began, and what it waited for the link, follows from these and `requests`.
    began, ended : (programs,) int64
        When the program began, and when its last read ended.
    requests : (n, REQUEST_COLUMNS) int64
    log : (n, LOG_COLUMNS) int64
    waited : (segments,) uint8
        Whether the segment was waited for.
    fresh : (chunks,) uint8
        Scratch: whether an arriving chunk had been there already.
    victims : (chunks,) int64
        Scratch.
    """

    dur: Any
    wait: Any
    late: Any
    began: Any
    ended: Any
    requests: Any
    log: Any
    waited: Any
    fresh: Any
    victims: Any


class Suggesting(NamedTuple):
    """A prefetch policy that answers reads.

    Attributes
    ----------
    policy, queue
        See `storage.plan.suggest`.
    ints, floats
        The policy's memory as it is when a program starts.
    out : (chunks,) int64
        Scratch.
    """

    policy: Ahead
    queue: Queue
    ints: Any
    floats: Any
    out: Any


class World(NamedTuple):
    """Everything, as one client sees it: its own are `state`, `own`, `ahead`, `unread` and `budget`.

    Attributes
    ----------
    own : (OWN_COLUMNS,) int64
    unread : (chunks,) int64
        Bytes of the chunk that were prefetched and not read so far.
    budget : (4,) int64
        How fast prefetch may ask, see `storage.plan.new_budget`; of rate 0 where that does not matter.
    """

    layout: Layout
    state: State
    own: Any
    ahead: Suggesting
    unread: Any
    budget: Any
    options: Options
    policy: Policy
    segments: Segments
    marks: Any
    trace: Trace
    model: Model
    link: LinkState
    actors: Actors
    schedule: Schedule
    count: Any
    out: Out
