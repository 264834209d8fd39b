"""What the decider knows: arrays, and names for their entries.

Everything here is numba's subset: named tuples of arrays and of integers. The live store
passes memoryviews (an item of one is a Python integer, which is what makes plain Python
fast enough), the replay engine passes the arrays themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError
from storage.image.tables import Chunks
from storage.plan._amplify import Amplify, reach

__all__ = [
    "ABSENT",
    "BLOCKED",
    "CAPACITY",
    "COMPLETE",
    "EVICTING",
    "EXACT",
    "FETCH",
    "GAP_SHIFT",
    "HIGH",
    "LEAVING",
    "LOW",
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
    "WHOLE",
    "YIELD",
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
LEAVING = 3  # bytes of victims that are not gone yet
HIGH = 4  # bytes above which chunks are evicted,
LOW = 5  # and down to which
WHOLE = 6  # whether units are kept, and evicted, as one
COUNTERS = 7

MIN_BATCH = 0x2_0000
MAX_BATCH = 0x1000_0000
GAP_SHIFT = 7


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
    LISTED: int = 12  # reference: of the fetch only chunks that segments name are kept
    WANTED: int = 13  # the chunk for whose sake is waited: WAITING, or one of its unit


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
    unit
        The first chunk of the chunk's unit, int64; `start` and `end` are the unit's.
    kind
        PLAIN, BATCH or ZRAN of `storage.image.tables`.
    """

    blob: Array
    start: Array
    end: Array
    offset: Array
    size: Array
    known: Array
    unit: Array
    kind: Array


class State(NamedTuple):
    """What changes: per chunk, in total, and the policy's own memory.

    Attributes
    ----------
    status : (n,) uint8
    pins : (n,) int32
        Readers and writers of the chunk's bytes in the cache; a pinned chunk is not evicted.
    owner : (n,) int64
        Ticket of the read that claimed a PENDING or STORING chunk, else -1.
    counters : (7,) int64
    ints, floats
        The eviction policy's arenas.
    window : (n,) int64
        Plan `exact`: bytes of the blob that a request which begins with the chunk may reach; see `Amplify`.
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
        Window from the first chunk's compressed offset that is fetched along; under plan `exact` the longest of all.
    batch
        Neighbours merge into one request until it is this long.
    gap
        Bytes of no use that a merged request may span in one place.
    prefetch
        As `batch`, of prefetch.
    limit
        How far windows may grow; 0 where they stay as they are.
    """

    plan: int
    amplify: int
    batch: int
    gap: int
    prefetch: int
    limit: int = 0


def _admit_all(ints: Array, floats: Array, chunk: int) -> int:
    return 1


class Policy(NamedTuple):
    """An eviction policy: five functions over an int64 and a float64 arena.

    ``init(ints, floats, sizes, capacity)``, ``on_hit(ints, floats, chunk)``,
    ``on_admit(ints, floats, chunk)``, ``victim(ints, floats, pinned, chunk) -> chunk or -1``,
    ``on_remove(ints, floats, chunk)``.

    `victim` is told for which chunk room is made, -1 for none, and is asked again until there is
    enough; -1 says that nothing may go, or that the newcomer is not worth it: it is not admitted.

    The sixth is there where an admission policy is: ``admits(ints, floats, chunk) -> 0 or 1`` is asked
    once for each newcomer that came and could be stored, before room is made.

    A live store tells of several hits at once, `on_hits`; who can do that faster overrides it.
    """

    init: Callable[..., None]
    on_hit: Callable[..., None]
    on_admit: Callable[..., None]
    victim: Callable[..., int]
    on_remove: Callable[..., None]
    admits: Callable[..., int] = _admit_all

    def on_hits(self, ints: Array, floats: Array, chunks: npt.NDArray[np.int64]) -> None:
        """Tell of hits, one after the other."""
        on_hit = self.on_hit
        for chunk in chunks.tolist():
            on_hit(ints, floats, chunk)


class Segments(NamedTuple):
    """What reads ask of chunks: rows of `Chunks`, and bytes within each.

    Segments at offset -1, of no length, come last: chunks to be fetched along, if what lies
    before them is fetched.
    """

    chunk: Array
    offset: Array
    length: Array


def _ignore(ints: Array, floats: Array, chunk: int) -> None:
    pass


def _init_nothing(ints: Array, floats: Array, sizes: Array, capacity: int) -> None:
    pass


def _no_victim(ints: Array, floats: Array, pinned: Array, chunk: int) -> int:
    return -1


keep_all = Policy(_init_nothing, _ignore, _ignore, _no_victim, _ignore)
"""The policy of an unbounded cache: nothing is ever evicted."""


def plan_layout(chunks: Chunks) -> Layout:
    """The decider's view of a chunk table."""
    start, offset = chunks.compressed_offset, chunks.uncompressed_offset
    return Layout(
        blob=chunks.blob.astype(np.int64),
        start=_column(start, np.int64),
        end=start + chunks.compressed_size,
        offset=_column(offset, np.int64),
        size=_column(chunks.uncompressed_size, np.int64),
        known=(chunks.has_digest | chunks.has_crc32c).view(np.uint8),
        unit=_column(chunks.unit, np.int64),
        kind=_column(chunks.kind, np.uint8),
    )


def _column(values: npt.NDArray[Any], kind: type[np.generic]) -> npt.NDArray[Any]:
    """A column as it is where that will do: compiled code wants one that is contiguous and may be written to."""
    fits = values.dtype == kind and values.flags.c_contiguous and values.flags.writeable
    return values if fits else values.astype(kind)


def plan_options(
    plan: str = "exact", amplify_io: int | Amplify = 1 << 20, version: int = 6, prefetch_batch: int | None = None
) -> Options:
    """Options of a plan by name, for an image of a RAFS version.

    Under ``reference`` a batch below 128 KiB counts as 128 KiB, for amplification too, as in
    nydusd, where v6 cannot turn it off. Under ``exact`` `amplify_io` is taken as it is. Of v5
    nothing is widened: a read's own segments say what is fetched along. Requests of prefetch are
    merged up to `prefetch_batch`, which is as long as those of users where it is not given.

    Raises
    ------
    ConfigError
        If there is no such plan, `amplify_io` or `prefetch_batch` is out of range, or plan ``reference`` is to
        amplify otherwise than nydusd does.
    """
    if plan not in PLANS:
        raise ConfigError(f"no plan is called {plan!r}; there are {', '.join(PLANS)}", field="plan")
    largest = reach(amplify_io)
    merged = amplify_io.batch if isinstance(amplify_io, Amplify) else largest
    limit = amplify_io.limit if isinstance(amplify_io, Amplify) else 0
    if PLANS[plan] == REFERENCE and isinstance(amplify_io, Amplify) and (limit or np.ndim(amplify_io.window)):
        raise ConfigError(f"plan reference has a window for all, which {amplify_io.name} has not", field="amplify_io")
    prefetch = merged if prefetch_batch is None else prefetch_batch
    for field, size in (("amplify_io", max(largest, merged)), ("prefetch_batch", prefetch)):
        if not 0 <= size <= MAX_BATCH:
            raise ConfigError(f"a window of {size} bytes is none: up to {MAX_BATCH} are", field=field)
    batch = max(merged, MIN_BATCH)
    amplify = max(largest, MIN_BATCH) if PLANS[plan] == REFERENCE else largest
    if version == 5:
        amplify = limit = 0
    return Options(PLANS[plan], amplify, batch, batch >> GAP_SHIFT, max(prefetch, MIN_BATCH), limit)


def new_state(
    chunks: int,
    capacity: int | None = None,
    ints: int = 1,
    floats: int = 1,
    watermarks: tuple[int, int] | None = None,
    window: int | npt.NDArray[np.int64] = 0,
    whole: bool = False,
) -> State:
    """A state in which every chunk is absent.

    Parameters
    ----------
    capacity
        Bytes that may be stored; None for no bound.
    ints, floats
        Sizes of the policy's arenas.
    watermarks
        The low and the high one, in bytes: when more than the high one would be stored, chunks are
        evicted until it is no more than the low one. By default both are the capacity.
    window
        How far requests reach, for all or by chunk; see `windows`.
    whole
        Whether a unit is kept and evicted as one, since its stored bytes are what is kept; of plan `exact`.

    Raises
    ------
    ConfigError
        If the low one is above the high one, or that above the capacity.
    """
    counters = np.zeros(COUNTERS, np.int64)
    counters[CAPACITY] = bound = -1 if capacity is None else capacity
    counters[WHOLE] = whole
    counters[LOW], counters[HIGH] = low, high = watermarks or (bound, bound)
    if watermarks is not None and not 0 <= low <= high <= bound:
        raise ConfigError("watermarks are no more than the capacity, and the low one is the lower", field="watermarks")
    return State(
        status=np.zeros(chunks, np.uint8),
        pins=np.zeros(chunks, np.int32),
        owner=np.full(chunks, -1, np.int64),
        counters=counters,
        ints=np.zeros(ints, np.int64),
        floats=np.zeros(floats, np.float64),
        window=np.full(chunks, window, np.int64),
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
