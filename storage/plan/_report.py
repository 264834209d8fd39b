"""What the executor reports back, and what follows from it: admission and eviction."""

from __future__ import annotations

from storage.plan._advance import unblock
from storage.plan._reference import BACKEND, CACHE
from storage.plan._state import (
    ABSENT,
    CAPACITY,
    EVICTING,
    EXACT,
    HIGH,
    LEAVING,
    LOW,
    PENDING,
    PREFETCH,
    READY,
    STORED,
    STORING,
    WHOLE,
    Array,
    Layout,
    Options,
    Policy,
    Reg,
    Segments,
    State,
)
from storage.plan._units import in_flight, unit_last

__all__ = [
    "abandon",
    "adopt",
    "adopted",
    "arrive",
    "evicted",
    "found",
    "give_up_wait",
    "lost",
    "persisted",
    "reopen",
    "served",
    "stand_back",
    "store_failed",
    "take_in",
]


def served(state: State, segments: Segments, reg: Array) -> None:
    """The segments of a SERVE were copied out: unpin them and move on."""
    for pos in range(reg[Reg.POS], reg[Reg.SPAN]):
        state.pins[segments.chunk[pos]] -= 1
    reg[Reg.POS] = reg[Reg.SPAN]


def lost(
    layout: Layout,
    state: State,
    options: Options,
    policy: Policy,
    segments: Segments,
    marks: Array,
    reg: Array,
    pos: int,
) -> bool:
    """A SERVE came as far as segment `pos`, whose chunk is not in the cache file as it should be.

    What comes before was served; the chunk is absent again, unless somebody sees to it already, and
    the read fetches it. True if its bit must be cleared.
    """
    chunk = segments.chunk[pos]
    gone = state.status[chunk] == READY
    if gone:
        policy.on_remove(state.ints, state.floats, chunk)
        state.status[chunk] = ABSENT
        state.counters[STORED] -= layout.size[chunk]
    if options.plan == EXACT:
        for other in range(reg[Reg.POS], reg[Reg.SPAN]):
            state.pins[segments.chunk[other]] -= 1
    else:
        for other in range(reg[Reg.POS], pos + 1):
            state.pins[segments.chunk[other]] -= 1
        marks[pos] = BACKEND
        if gone:
            state.status[chunk] = PENDING
            state.owner[chunk] = reg[Reg.TICKET]
    reg[Reg.POS] = reg[Reg.SPAN] = pos
    return gone


def found(layout: Layout, state: State, policy: Policy, chunk: int) -> bool:
    """A chunk's bytes are in the cache file, though nobody knew. True if that is news: nobody is fetching it."""
    if state.status[chunk] != ABSENT or not _fits(state, layout.size[chunk] + state.counters[LEAVING]):
        return False
    state.status[chunk] = READY
    state.counters[STORED] += layout.size[chunk]
    policy.on_admit(state.ints, state.floats, chunk)
    return True


def give_up_wait(reg: Array) -> None:
    """A wait took too long: plan `reference` fetches the chunk itself."""
    reg[Reg.TIMED_OUT] = 1


def arrive(layout: Layout, state: State, policy: Policy, reg: Array, victims: Array) -> int:
    """A fetch is here, decoded and verified: admit its chunks.

    Admitted chunks are STORING and owned by the read; the executor punches the victims out,
    reports `evicted`, writes the chunks and reports `persisted`. Chunks that find no room
    are absent again; the read itself is served from the fetched bytes.

    Parameters
    ----------
    victims : (n,) int64, out
        Chunks to punch out.

    Returns
    -------
    int
        How many victims.
    """
    count = 0
    # Whoever chose a victim waits for it to go; to everybody else it still takes room.
    others, unit, kept = state.counters[LEAVING], -1, False
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        status = state.status[chunk]
        if status != ABSENT and status != PENDING:
            continue
        if (reg[Reg.LISTED] != 0 or reg[Reg.KIND] == PREFETCH) and state.owner[chunk] != reg[Reg.TICKET]:
            continue
        if state.counters[WHOLE] == 0 or layout.unit[chunk] != unit:
            count = take_in(layout, state, policy, chunk, others, victims, count)
            if layout.known[chunk] != 0:
                unit, kept = layout.unit[chunk], state.status[chunk] == STORING
        elif kept and layout.known[chunk] != 0:  # there is room for it, too
            _keep(layout, state, policy, chunk)
        if state.status[chunk] == STORING:
            state.owner[chunk] = reg[Reg.TICKET]
        elif state.owner[chunk] == reg[Reg.TICKET]:
            state.status[chunk] = ABSENT
            state.owner[chunk] = -1
    return count


def take_in(layout: Layout, state: State, policy: Policy, chunk: int, others: int, victims: Array, count: int) -> int:
    """Admit a chunk, so that it is STORING, if it may be kept and there is room, or room can be made.

    `others` are bytes that still take room. Returns how many of `victims` there are then, if there were `count`.
    """
    if layout.known[chunk] == 0 or policy.admits(state.ints, state.floats, chunk) == 0:
        return count
    size = _missing(layout, state, chunk) + others
    count = _make_room(layout, state, policy, chunk, size, victims, count)
    if _fits(state, size):
        _keep(layout, state, policy, chunk)
    return count


def _missing(layout: Layout, state: State, chunk: int) -> int:
    """Bytes of what is kept with a chunk, from it on, and not there yet."""
    if state.counters[WHOLE] == 0:
        return int(layout.size[chunk])
    size = 0
    for other in range(chunk, unit_last(layout, chunk) + 1):
        if layout.known[other] != 0 and (state.status[other] == ABSENT or state.status[other] == PENDING):
            size += layout.size[other]
    return size


def _keep(layout: Layout, state: State, policy: Policy, chunk: int) -> None:
    state.status[chunk] = STORING
    state.pins[chunk] += 1
    state.counters[STORED] += layout.size[chunk]
    policy.on_admit(state.ints, state.floats, chunk)


def adopt(layout: Layout, state: State, policy: Policy, chunk: int, victims: Array) -> int:
    """A chunk can be had without the backend: claim it, and room for it, unless somebody sees to it already.

    It is STORING then; the executor punches the victims out, puts its bytes in place, and reports
    `adopted` or `store_failed`. Returns how many victims.
    """
    if state.status[chunk] != ABSENT or in_flight(layout, state, chunk) >= 0 or layout.known[chunk] == 0:
        return 0
    size = layout.size[chunk] + state.counters[LEAVING]
    count = _make_room(layout, state, policy, chunk, size, victims, 0)
    if _fits(state, size):
        _keep(layout, state, policy, chunk)
    return count


def adopted(state: State, chunk: int) -> None:
    """An adopted chunk is in place."""
    state.status[chunk] = READY
    state.pins[chunk] -= 1


def _fits(state: State, size: int) -> bool:
    capacity = state.counters[CAPACITY]
    return capacity < 0 or state.counters[STORED] + size <= capacity


def _make_room(layout: Layout, state: State, policy: Policy, chunk: int, size: int, victims: Array, count: int) -> int:
    """Room of `size` bytes for a chunk, and down to the low watermark; for -1, only as much as there must be."""
    if state.counters[CAPACITY] < 0 or size > state.counters[CAPACITY]:
        return count
    if state.counters[STORED] + size <= state.counters[HIGH]:
        return count
    while state.counters[STORED] + size > max(state.counters[LOW], size):
        victim = policy.victim(state.ints, state.floats, state.pins, chunk)
        # Whatever a policy says, bytes that are being read or written stay.
        if victim < 0 or state.pins[victim] != 0 or state.status[victim] != READY:
            break
        first, last = victim, victim
        if state.counters[WHOLE] != 0:
            if _is_held(layout, state, victim):
                break
            first, last = layout.unit[victim], unit_last(layout, victim)
        for other in range(first, last + 1):
            if state.status[other] == READY:
                _let_go(layout, state, policy, other)
                victims[count] = other
                count += 1
    return count


def _is_held(layout: Layout, state: State, chunk: int) -> bool:
    """Whether somebody reads, or sees to, a chunk of the unit."""
    held = in_flight(layout, state, chunk) >= 0
    for other in range(layout.unit[chunk], unit_last(layout, chunk) + 1):
        held = held or state.pins[other] != 0
    return held


def _let_go(layout: Layout, state: State, policy: Policy, chunk: int) -> None:
    policy.on_remove(state.ints, state.floats, chunk)
    state.status[chunk] = EVICTING
    state.counters[STORED] -= layout.size[chunk]
    state.counters[LEAVING] += layout.size[chunk]


def evicted(layout: Layout, state: State, chunk: int) -> None:
    """A victim's bytes are gone; it may be fetched again."""
    state.status[chunk] = ABSENT
    state.counters[LEAVING] -= layout.size[chunk]


def persisted(state: State, reg: Array) -> None:
    """The admitted chunks of a fetch are written: they are ready, and the read moves on."""
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        if state.status[chunk] == STORING and state.owner[chunk] == reg[Reg.TICKET]:
            state.status[chunk] = READY
            state.owner[chunk] = -1
            state.pins[chunk] -= 1
    reg[Reg.POS] = reg[Reg.SPAN]


def store_failed(layout: Layout, state: State, policy: Policy, chunk: int) -> None:
    """An admitted chunk could not be written: it is absent again."""
    policy.on_remove(state.ints, state.floats, chunk)
    state.status[chunk] = ABSENT
    state.owner[chunk] = -1
    state.pins[chunk] -= 1
    state.counters[STORED] -= layout.size[chunk]


def abandon(layout: Layout, state: State, policy: Policy, segments: Segments, marks: Array, reg: Array) -> None:
    """The read fails or is given up before its action was done: release all that it claimed and pinned."""
    unblock(state, reg)
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        if state.status[chunk] == STORING and state.owner[chunk] == reg[Reg.TICKET]:
            store_failed(layout, state, policy, chunk)
    stand_back(state, segments, marks, reg)
    reg[Reg.POS] = reg[Reg.SCAN] = reg[Reg.LIMIT] = reg[Reg.END]


def stand_back(state: State, segments: Segments, marks: Array, reg: Array) -> None:
    """A FETCH is not begun, since somebody else sees to some of it: all is released, and the read looks again."""
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        _release(state, reg, chunk)
    for pos in range(reg[Reg.POS], reg[Reg.SCAN]):
        if marks[pos] == CACHE:
            state.pins[segments.chunk[pos]] -= 1
        else:
            _release(state, reg, segments.chunk[pos])
    reg[Reg.SCAN] = reg[Reg.LIMIT] = reg[Reg.POS]


def _release(state: State, reg: Array, chunk: int) -> None:
    if state.status[chunk] == PENDING and state.owner[chunk] == reg[Reg.TICKET]:
        state.status[chunk] = ABSENT
        state.owner[chunk] = -1


def reopen(layout: Layout, state: State, policy: Policy, victims: Array) -> int:
    """Start the policy afresh on what is ready, in chunk order, and evict what is too much.

    The ready chunks of a folder are known after a restart, their history is not.
    Returns how many victims; the executor punches them out and reports `evicted`.
    """
    policy.init(state.ints, state.floats, layout.size, state.counters[CAPACITY])
    state.counters[STORED] = 0
    for chunk in range(len(layout.size)):
        if state.status[chunk] == READY:
            state.counters[STORED] += layout.size[chunk]
            policy.on_admit(state.ints, state.floats, chunk)
    return _make_room(layout, state, policy, -1, 0, victims, 0)
