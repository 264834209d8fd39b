"""All that the engine works on: named tuples of arrays and integers, so that numba takes them as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

from storage.backend._link import LinkState
from storage.plan import Layout, Options, Policy, Segments, State
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
    "Out",
    "Phase",
    "Phases",
    "Request",
    "Requests",
    "Trace",
    "World",
]


class Trace(NamedTuple):
    """A workload as the engine reads it: reads by thread, threads by program.

    Attributes
    ----------
    first : (reads + 1,) int64
        Where the read's segments begin.
    size, think : (reads,) int64
        Bytes asked; nanoseconds since the thread's last read, or the program's start.
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
    size: Any
    think: Any
    thread_first: Any
    program_first: Any
    batch_first: Any
    single: Any


class Model(NamedTuple):
    """The CPU: nanoseconds, and nanoseconds for each MiB."""

    hit: int
    copy: int
    fetch: int
    decode: int
    recording: int


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
    phase
    job
        The read, or the batch.
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
    phase: Any
    job: Any
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
    STARTED: int = 1  # programs so far; the last is under way
    ALIVE: int = 2  # threads of it that still read
    BUSY: int = 3  # workers with a request under way
    WAITING: int = 4  # threads that wait for a chunk
    BATCH: int = 5  # the next to be taken
    QUEUED: int = 6  # ends of the ring
    UNQUEUED: int = 7
    REQUESTS: int = 8  # rows used
    FAILURES: int = 9  # reads
    LOGGED: int = 10
    LANDED: int = 11  # requests that are over
    HIT: int = 12  # bytes by where they came from
    WAITED: int = 13
    FETCHED: int = 14
    CHUNKS: int = 15  # fetched
    DECODED: int = 16  # bytes
    EVICTIONS: int = 17
    EVICTED: int = 18  # bytes
    WASTED: int = 19  # bytes prefetched and gone unread
    HITS: int = 20  # how often
    WAITS: int = 21
    RETRIES: int = 22


Count = Counters()
COUNTERS = len(Count)


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
    start, dur, rtt, flow, wait : (reads,) int64
        When the read began, how long it took, and of that: until first bytes, while bytes flowed, for others' fetches.
    began, ended : (programs,) int64
        When the program began, and when its last read ended.
    requests : (n, REQUEST_COLUMNS) int64
    log : (n, LOG_COLUMNS) int64
    waited : (segments,) uint8
        Whether the segment was waited for.
    fresh : (chunks,) uint8
        Scratch: whether an arriving chunk had been there already.
    ahead : (chunks,) int64
        Bytes of the chunk that were prefetched and not read so far.
    victims : (chunks,) int64
        Scratch.
    """

    start: Any
    dur: Any
    rtt: Any
    flow: Any
    wait: Any
    began: Any
    ended: Any
    requests: Any
    log: Any
    waited: Any
    fresh: Any
    ahead: Any
    victims: Any


class World(NamedTuple):
    """Everything."""

    layout: Layout
    state: State
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
