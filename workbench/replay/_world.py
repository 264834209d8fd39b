"""All that the engine works on: named tuples of arrays and integers, so that numba takes them as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from storage.backend._link import LinkState
from storage.plan import Layout, Options, Policy, Segments, State
from workbench.replay._schedule import Schedule

__all__ = [
    "CLIENT_COLUMNS",
    "COUNTERS",
    "LOG_COLUMNS",
    "REQUEST_COLUMNS",
    "RUN",
    "Actors",
    "Client",
    "Clients",
    "ClientColumns",
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

RUN = 256
"""The most chunks that a batch of suggested ones has."""


class Trace(NamedTuple):
    """A workload as the engine reads it: reads by thread, threads by program, programs by client.

    Attributes
    ----------
    first : (reads + 1,) int64
        Where the read's segments begin.
    size, think, due : (reads,) int64
        Bytes asked; nanoseconds since the thread's last read, or the program's start; when the read is due after
        the program's start, if the loop is open.
    thread_first : (threads + 1,) int64
        Where the thread's reads begin.
    program_first : (programs + 1,) int64
        Where the program's threads begin.
    client_first : (clients + 1,) int64
        Where the client's programs begin.
    client_start : (clients,) int64
        When the client starts.
    batch_first : (batches + 1,) int64
        Where each prefetch batch's segments begin, behind those of the reads; behind the last, `RUN` of each worker.
    meta : (requests, 3) int64
        Blob, offset and length of what a client asks for before its first program starts.
    """

    first: Any
    size: Any
    think: Any
    due: Any
    thread_first: Any
    program_first: Any
    client_first: Any
    client_start: Any
    batch_first: Any
    meta: Any


class Model(NamedTuple):
    """CPU and prefetching: nanoseconds, nanoseconds for each MiB, counts, and bytes/s."""

    hit: int
    copy: int
    fetch: int
    decode: int
    workers: int  # that prefetch, of each client
    rate: int  # at which they may; 0 for no limit
    reactive: int
    open_loop: int
    warm_up: int  # reads
    recording: int


class Phases(NamedTuple):
    """What an actor is doing."""

    IDLE: int = 0
    THINK: int = 1  # until its next read
    LOOK: int = 2  # it is about to ask the decider
    SERVE: int = 3  # copying from the cache
    QUEUE: int = 4  # for a connection
    COME: int = 5  # until the first byte
    FLOW: int = 6  # until the last byte
    DECODE: int = 7
    WAIT: int = 8  # for somebody else's fetch
    PARK: int = 9  # a worker that stepped back
    OPEN: int = 10  # a client that starts


Phase = Phases()


class Actors(NamedTuple):
    """Threads first, prefetch workers behind them; all (actors,) int64 but `reg`.

    Attributes
    ----------
    reg : (actors, REGISTERS)
        Registers of the read or batch under way.
    client
    phase
    job
        The read.
    since
        When the present wait or request began.
    byte
        When the request's first byte came.
    fetch
        The request, as a row of `Out.requests`.
    slot
        The connection.
    tries
        Of the request; negative if all are refused.
    late
        Whether the present wait is for a prefetch.
    queue
        Who waits for a connection: a ring.
    holder : (connections,)
        Whose connection it is; -1 for nobody's.
    flowing : (connections,)
        Whether bytes flow over it, or have all arrived and were not taken yet.
    cores : (n,)
        When each core that decodes is free; with none, there are as many as are needed.
    """

    reg: Any
    client: Any
    phase: Any
    job: Any
    since: Any
    byte: Any
    fetch: Any
    slot: Any
    tries: Any
    late: Any
    queue: Any
    holder: Any
    flowing: Any
    cores: Any


class ClientColumns(NamedTuple):
    """Columns of `Clients.count`."""

    STARTED: int = 0  # programs so far; the last is under way
    ALIVE: int = 1  # threads of it that still read
    BUSY: int = 2  # workers with a request under way
    WAITING: int = 3  # threads that wait for a chunk
    BATCH: int = 4  # the next of the list to be taken
    FREE: int = 5  # when the rate limit lets the next batch go
    OPENED: int = 6  # requests for blob.meta that are over


Client = ClientColumns()
CLIENT_COLUMNS = len(Client)


class Clients(NamedTuple):
    """What each client has of its own, beside its state.

    Attributes
    ----------
    count : (clients, CLIENT_COLUMNS) int64
    rows, ends : (clients, n), (clients, 2) int64
        Its `storage.plan.Queue` of suggested chunks.
    on_read
        Function of `storage.plan.Ahead`.
    ints, floats : (clients, n)
        The prefetch policy's arenas.
    first_ints, first_floats
        As they are when a program starts.
    out : (n,) int64
        Scratch.
    """

    count: Any
    rows: Any
    ends: Any
    on_read: Callable[..., int]
    ints: Any
    floats: Any
    first_ints: Any
    first_floats: Any
    out: Any


class Counters(NamedTuple):
    """Entries of `World.count`; from `HIT` on they are set back when the warm-up ends."""

    LINK_CHANGE: int = 0  # when the next transfer ends or may be faster
    BEGUN: int = 1  # reads; -1 before the first
    QUEUED: int = 2  # ends of the ring
    UNQUEUED: int = 3
    REQUESTS: int = 4  # rows used
    LOGGED: int = 5
    LANDED: int = 6  # requests that are over
    CUT: int = 7  # when the warm-up ended
    CUT_REQUEST: int = 8  # the first request after it
    HIT: int = 9  # bytes by where they came from
    WAITED: int = 10
    FETCHED: int = 11
    CHUNKS: int = 12  # fetched
    DECODED: int = 13  # bytes
    EVICTIONS: int = 14
    EVICTED: int = 15  # bytes
    WASTED: int = 16  # bytes prefetched and gone unread
    HITS: int = 17  # how often
    WAITS: int = 18
    RETRIES: int = 19
    FAILURES: int = 20  # reads
    AHEAD: int = 21  # chunks prefetched
    USED: int = 22  # of them, read
    LATE: int = 23  # waits for a prefetch
    LATE_NS: int = 24
    DROPPED: int = 25  # batches that failed


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
    META: int = 13
    CLIENT: int = 14
    TRIES: int = 15
    FAILED: int = 16


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
    start, dur, rtt, flow, wait, late : (reads,) int64
        When the read began, or was due; how long it took; and of that: until first bytes, while bytes flowed, for
        others' fetches, and until its thread was free.
    began, ended : (programs,) int64
        When the program began, and when its last read ended.
    requests : (n, REQUEST_COLUMNS) int64
    log : (n, LOG_COLUMNS) int64
    waited : (segments,) uint8
        Whether the segment was waited for.
    fresh : (chunks,) uint8
        Scratch: whether an arriving chunk had been there already.
    ahead : (clients, chunks) int64
        Bytes of the chunk that were prefetched and not read so far.
    evicted : (chunks,) int64
        How often each was.
    victims : (chunks,) int64
        Scratch.
    """

    start: Any
    dur: Any
    rtt: Any
    flow: Any
    wait: Any
    late: Any
    began: Any
    ended: Any
    requests: Any
    log: Any
    waited: Any
    fresh: Any
    ahead: Any
    evicted: Any
    victims: Any


class World(NamedTuple):
    """Everything. The arrays of `state` have a row for each client."""

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
    clients: Clients
    schedule: Schedule
    count: Any
    out: Out
