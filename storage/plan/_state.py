"""What the decider knows: arrays, and names for their entries.

Everything here is numba's subset: named tuples of arrays and of integers. The live store
passes memoryviews (an item of one is a Python integer, which is what makes plain Python
fast enough), the replay engine passes the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from storage.errors import ConfigError
from storage.image.tables import Chunks

__all__ = [
    "ABSENT",
    "BLOCKED",
    "CAPACITY",
    "COMPLETE",
    "EVICTING",
    "EXACT",
    "FETCH",
    "MIN_BATCH",
    "PENDING",
    "PLANS",
    "PREFETCH",
    "READY",
    "REFERENCE",
    "REGISTERS",
    "SERVE",
    "STORED",
    "STORING",
    "USER",
    "WAIT",
    "YIELD",
    "Amplify",
    "Layout",
    "Options",
    "Policy",
    "Reg",
    "Registers",
    "Segments",
    "State",
    "keep_all",
    "new_registers",
    "new_state",
    "plan_layout",
    "plan_options",
    "plan_windows",
    "views",
]

# An array, or a memoryview of one.
Array = Any
T = TypeVar("T", bound="Layout | State | Segments")

# Status of a chunk.
ABSENT = 0
PENDING = 1  # claimed by a fetch in flight
STORING = 2  # arrived and admitted, being written
READY = 3
EVICTING = 4  # its bit is cleared, its bytes are being punched out

# What a read does next.
SERVE = 1  # copy segments POS..SPAN out of the cache
WAIT = 2  # until chunk WAITING is no longer in flight, then look again
FETCH = 3  # chunks FIRST..LAST as one range; they serve segments POS..SPAN
YIELD = 4  # a prefetch steps back until no user read is blocked
COMPLETE = 5

# The two plans.
EXACT = 0
REFERENCE = 1
PLANS = {"exact": EXACT, "reference": REFERENCE}

# Who reads.
USER = 0
PREFETCH = 1

# Entries of `State.counters`.
STORED = 0  # bytes admitted
CAPACITY = 1  # bytes that may be; negative for no bound
BLOCKED = 2  # user reads that wait or fetch
COUNTERS = 3

MIN_BATCH = 0x2_0000
MAX_BATCH = 0x1000_0000
_GAP_SHIFT = 7


class Registers(NamedTuple):
    """Where in a read's int64 array things are kept."""

    POS: int = 0  # the next segment to serve
    END: int = 1
    SPAN: int = 2  # where the current action ends
    KIND: int = 3
    TICKET: int = 4  # who claims
    FIRST: int = 5
    LAST: int = 6
    WAITING: int = 7
    BLOCKED: int = 8
    LIMIT: int = 9  # reference: end of the merged range that POS is in
    SCAN: int = 10  # reference: first segment of it not yet classified
    TIMED_OUT: int = 11  # reference: the last wait was given up


Reg = Registers()
REGISTERS = len(Reg)


class Layout(NamedTuple):
    """The columns of `Chunks` that decisions depend on; all (n,).

    Attributes
    ----------
    blob
        Index of the blob, int64.
    start, end
        Compressed span in the blob, bytes.
    offset, size
        Uncompressed place and size, bytes.
    known
        1 where the digest is known, so that the chunk may be persisted.
    """

    blob: Array
    start: Array
    end: Array
    offset: Array
    size: Array
    known: Array


class State(NamedTuple):
    """What changes: per chunk, in total, and the policy's own memory.

    Attributes
    ----------
    status : (n,) uint8
    pins : (n,) int32
        Readers and writers of the chunk's bytes in the cache; a pinned chunk is not evicted.
    owner : (n,) int64
        Ticket of the read that claimed a PENDING or STORING chunk, else -1.
    counters : (3,) int64
    ints, floats
        The eviction policy's arenas.
    window : (n,) int64
        Plan `exact`: bytes of the blob that a request which begins with the chunk may span; see `Amplify`.
    """

    status: Array
    pins: Array
    owner: Array
    counters: Array
    ints: Array
    floats: Array
    window: Array


class Options(NamedTuple):
    """How requests are widened, in bytes.

    Attributes
    ----------
    plan
        EXACT or REFERENCE.
    amplify
        Plan `reference`: the window from the first chunk's compressed offset that is fetched along.
    batch
        Neighbours merge into one request until it is this long.
    gap
        Bytes of no use that a merged request may span in one place.
    limit
        Plan `exact`: how far windows may grow; 0 where they stay as they are.
    """

    plan: int
    amplify: int
    batch: int
    gap: int
    limit: int = 0


class Policy(NamedTuple):
    """An eviction policy: five functions over an int64 and a float64 arena.

    ``init(ints, floats, sizes, capacity)``, ``on_hit(ints, floats, chunk)``,
    ``on_admit(ints, floats, chunk)``, ``victim(ints, floats, pinned) -> chunk or -1``,
    ``on_remove(ints, floats, chunk)``.
    """

    init: Callable[..., None]
    on_hit: Callable[..., None]
    on_admit: Callable[..., None]
    victim: Callable[..., int]
    on_remove: Callable[..., None]


class Segments(NamedTuple):
    """What reads ask of chunks: rows of `Chunks`, and bytes within each."""

    chunk: Array
    offset: Array
    length: Array


@dataclass(frozen=True)
class Amplify:
    """How far requests are widened under plan `exact`, where that is not the same for all.

    Attributes
    ----------
    name
        What it is called in tables.
    batch
        Neighbours merge into one request until it is this long; under plan `reference`, nydusd's window.
    windows
        From a layout to what `State.window` holds at first.
    limit
        If not 0, windows adapt: the chunk after a request gets twice that request's window, up to this, so
        whoever goes on where it ended fetches more at once, as a kernel reads files ahead.
    """

    name: str
    batch: int
    windows: Callable[[Layout], Array]
    limit: int = 0


def _ignore(ints: Array, floats: Array, chunk: int) -> None:
    pass


def _init_nothing(ints: Array, floats: Array, sizes: Array, capacity: int) -> None:
    pass


def _no_victim(ints: Array, floats: Array, pinned: Array) -> int:
    return -1


keep_all = Policy(_init_nothing, _ignore, _ignore, _no_victim, _ignore)
"""The policy of an unbounded cache: nothing is ever evicted."""


def plan_layout(chunks: Chunks) -> Layout:
    """The decider's view of a chunk table."""
    start, offset = chunks.compressed_offset, chunks.uncompressed_offset
    return Layout(
        blob=chunks.blob.astype(np.int64),
        start=start.astype(np.int64),
        end=start + chunks.compressed_size,
        offset=offset.astype(np.int64),
        size=chunks.uncompressed_size.astype(np.int64),
        known=(chunks.has_digest | chunks.has_crc32c).astype(np.uint8),
    )


def plan_options(plan: str = "exact", amplify_io: int | Amplify = 1 << 20) -> Options:
    """Options of a plan by name.

    Under ``reference`` a batch below 128 KiB counts as 128 KiB, for amplification too, as in
    nydusd, where v6 cannot turn it off. Under ``exact`` `amplify_io` is taken as it is.

    Raises
    ------
    ConfigError
        If there is no such plan, or `amplify_io` is out of range.
    """
    if plan not in PLANS:
        raise ConfigError(f"no plan is called {plan!r}; there are {', '.join(PLANS)}", field="plan")
    size = amplify_io if isinstance(amplify_io, int) else amplify_io.batch
    if not 0 <= size <= MAX_BATCH:
        raise ConfigError(f"a window of {size} bytes is none: up to {MAX_BATCH} are", field="amplify_io")
    batch = max(size, MIN_BATCH)
    amplify = batch if PLANS[plan] == REFERENCE else size
    limit = 0 if isinstance(amplify_io, int) else amplify_io.limit
    return Options(PLANS[plan], amplify, batch, batch >> _GAP_SHIFT, limit)


def plan_windows(layout: Layout, amplify_io: int | Amplify) -> Array:
    """By chunk, how far a request that begins with it may reach, before anything was read: (n,) int64.

    Raises
    ------
    ConfigError
        If there is not one window, of no fewer than 0 bytes, for each chunk.
    """
    chunks = len(layout.size)
    if isinstance(amplify_io, int):
        return np.full(chunks, amplify_io, np.int64)
    windows = np.array(amplify_io.windows(layout), np.int64)
    if windows.shape != (chunks,) or (chunks and windows.min() < 0):
        raise ConfigError(f"{amplify_io.name} gives no window for each chunk", field="amplify_io")
    return windows


def new_state(
    chunks: int, capacity: int | None = None, ints: int = 1, floats: int = 1, window: Array | None = None
) -> State:
    """A state in which every chunk is absent; `ints` and `floats` size the policy's arenas."""
    counters = np.zeros(COUNTERS, np.int64)
    counters[CAPACITY] = -1 if capacity is None else capacity
    return State(
        status=np.zeros(chunks, np.uint8),
        pins=np.zeros(chunks, np.int32),
        owner=np.full(chunks, -1, np.int64),
        counters=counters,
        ints=np.zeros(ints, np.int64),
        floats=np.zeros(floats, np.float64),
        window=np.zeros(chunks, np.int64) if window is None else window,
    )


def new_registers(ticket: int, end: int, kind: int = USER) -> list[int]:
    """Registers of a read of segments 0..`end`; a list, the fastest array for plain Python."""
    registers = [0] * REGISTERS
    registers[Reg.END] = end
    registers[Reg.KIND] = kind
    registers[Reg.TICKET] = ticket
    return registers


def views(arrays: T) -> T:
    """The same named tuple with each array as a memoryview."""
    return type(arrays)(*(memoryview(array) for array in arrays))
