"""What a read does next, and what it claims: plan `exact` (plan `reference` has its own file).

`advance` answers with exactly one action. Whoever executes it does the IO, reports back
through the functions of `_report`, and asks again.
"""

from __future__ import annotations

from storage.plan._reference import advance_reference
from storage.plan._state import (
    ABSENT,
    BLOCKED,
    COMPLETE,
    EXACT,
    FETCH,
    GAP_SHIFT,
    PENDING,
    PREFETCH,
    READY,
    SERVE,
    WAIT,
    YIELD,
    Array,
    Layout,
    Options,
    Policy,
    Reg,
    Segments,
    State,
)
from storage.plan._units import in_flight, merge_end, unit_last

__all__ = ["advance", "batch_end", "joins_batch", "next_request", "unblock"]


def advance(
    layout: Layout, state: State, options: Options, policy: Policy, segments: Segments, marks: Array, reg: Array
) -> int:
    """The next action of a read or a prefetch.

    Parameters
    ----------
    marks : (len(segments),) uint8
        Scratch of the read; used by plan `reference` only.
    reg : (REGISTERS,) int64
        See `Reg`; says which segments or chunks the action is about.

    Returns
    -------
    int
        SERVE, WAIT, FETCH, YIELD or COMPLETE.
    """
    unblock(state, reg)
    if reg[Reg.KIND] == PREFETCH:
        return _advance_prefetch(layout, state, options, segments, reg)
    if reg[Reg.POS] == reg[Reg.END]:
        return COMPLETE
    if options.plan == EXACT:
        action = _advance_exact(layout, state, options, policy, segments, reg)
    else:
        action = advance_reference(layout, state, options, policy, segments, marks, reg)
    if action != SERVE and action != COMPLETE:
        state.counters[BLOCKED] += 1
        reg[Reg.BLOCKED] = 1
    return action


def unblock(state: State, reg: Array) -> None:
    """Count a read as no longer blocked."""
    if reg[Reg.BLOCKED] != 0:
        reg[Reg.BLOCKED] = 0
        state.counters[BLOCKED] -= 1


def _advance_exact(
    layout: Layout, state: State, options: Options, policy: Policy, segments: Segments, reg: Array
) -> int:
    chunk = segments.chunk[reg[Reg.POS]]
    status = state.status[chunk]
    if segments.offset[reg[Reg.POS]] < 0:  # what it was to be fetched along with is served
        reg[Reg.POS] = reg[Reg.END]
        return COMPLETE
    if status == READY:
        _serve_run(state, policy, segments, reg)
        return SERVE
    other = chunk if status != ABSENT else in_flight(layout, state, chunk)
    if other >= 0:
        reg[Reg.WAITING], reg[Reg.WANTED] = other, chunk
        return WAIT
    _take_run(layout, state, options.batch, options.gap, segments, reg)
    _amplify(layout, state, options, reg)
    _claim(state, reg)
    return FETCH


def _advance_prefetch(layout: Layout, state: State, options: Options, segments: Segments, reg: Array) -> int:
    """Take the next absent run of the list; what is ready or on its way is passed over.

    Under `reference` it is, of a v6 image, all from the first absent chunk to the last, and what is ready
    between them is fetched again; of v5 each run of neighbours.
    """
    pos = reg[Reg.POS]
    while pos < reg[Reg.END] and not _is_free(layout, state, segments.chunk[pos]):
        pos += 1
    reg[Reg.POS] = pos
    if pos == reg[Reg.END]:
        return COMPLETE
    if state.counters[BLOCKED] > 0:
        return YIELD
    if options.plan == EXACT:
        _take_run(layout, state, options.prefetch, options.prefetch >> GAP_SHIFT, segments, reg)
    else:
        _take_span(layout, state, options, segments, reg)
    _claim(state, reg)
    return FETCH


def _take_span(layout: Layout, state: State, options: Options, segments: Segments, reg: Array) -> None:
    pos, together = reg[Reg.POS], options.amplify == 0
    first = last = segments.chunk[pos]
    reg[Reg.SPAN] = pos + 1
    for place in range(pos + 1, reg[Reg.END]):
        chunk = segments.chunk[place]
        free = _is_free(layout, state, chunk)
        if together and not (free and chunk == last + 1):
            break
        if free:
            last = chunk
            reg[Reg.SPAN] = place + 1
    reg[Reg.FIRST] = layout.unit[first]
    reg[Reg.LAST] = unit_last(layout, last)


def _is_free(layout: Layout, state: State, chunk: int) -> bool:
    """Whether neither the chunk is there nor its unit on its way."""
    return state.status[chunk] == ABSENT and in_flight(layout, state, chunk) < 0


def batch_end(layout: Layout, options: Options, rows: Array, pos: int) -> int:
    """Where the batch of a prefetch list that begins at `pos` ends: neighbours, until the batch is full."""
    first = pos
    pos += 1
    while pos < len(rows) and joins_batch(layout, options, rows[first], rows[pos - 1], rows[pos]):
        pos += 1
    return pos


def joins_batch(layout: Layout, options: Options, first: int, last: int, row: int) -> bool:
    """Whether a batch of prefetch from `first` to `last` goes on with a chunk."""
    if merge_end(layout, last) - layout.start[first] >= options.prefetch or layout.blob[row] != layout.blob[last]:
        return False
    gap = layout.start[row] - layout.end[last]
    apart = gap < 0 or gap > options.prefetch >> GAP_SHIFT
    inside = layout.unit[row] == layout.unit[last] and row > last
    return bool(inside or not apart)


def _serve_run(state: State, policy: Policy, segments: Segments, reg: Array) -> None:
    """Pin the run of ready chunks at POS, so that none is evicted while it is read."""
    pos = reg[Reg.POS]
    while pos < reg[Reg.END] and segments.offset[pos] >= 0 and state.status[segments.chunk[pos]] == READY:
        chunk = segments.chunk[pos]
        state.pins[chunk] += 1
        policy.on_hit(state.ints, state.floats, chunk)
        pos += 1
    reg[Reg.SPAN] = pos


def _take_run(layout: Layout, state: State, batch: int, gap: int, segments: Segments, reg: Array) -> None:
    """One request for the absent chunks at POS, merged while neighbours and below the batch; whole units."""
    pos = reg[Reg.POS]
    own = segments.chunk[pos]
    first, last = layout.unit[own], unit_last(layout, own)
    pos += 1
    while pos < reg[Reg.END] and merge_end(layout, own) - layout.start[first] < batch:
        chunk = segments.chunk[pos]
        if chunk <= own or not _joins(layout, state, gap, last, chunk):
            break
        own = chunk
        if chunk > last:
            last = unit_last(layout, chunk)
        pos += 1
    reg[Reg.SPAN] = pos
    reg[Reg.FIRST] = first
    reg[Reg.LAST] = last


def next_request(layout: Layout, options: Options, segments: Segments, reg: Array) -> None:
    """The request for what a read wants at POS where nothing is kept: FIRST..LAST, for segments POS..SPAN.

    Neighbours are merged under plan `exact`; under plan `reference` each chunk is a request.
    """
    pos = reg[Reg.POS]
    own = segments.chunk[pos]
    first, last = layout.unit[own], unit_last(layout, own)
    pos += 1
    while pos < reg[Reg.END] and options.plan == EXACT and merge_end(layout, own) - layout.start[first] < options.batch:
        chunk = segments.chunk[pos]
        gap = layout.start[chunk] - layout.end[last]
        apart = layout.blob[chunk] != layout.blob[last] or gap < 0 or gap > options.gap
        if chunk <= own or (chunk > last and apart):
            break
        own = chunk
        last = max(last, unit_last(layout, chunk))
        pos += 1
    reg[Reg.SPAN] = pos
    reg[Reg.FIRST] = first
    reg[Reg.LAST] = last


def _joins(layout: Layout, state: State, largest: int, last: int, chunk: int) -> bool:
    """Whether a request that ends with `last` may go on to `chunk`'s unit, with no unit between them there already."""
    if state.status[chunk] != ABSENT:
        return False
    if chunk <= last:  # in its unit
        return True
    if layout.blob[chunk] != layout.blob[last] or in_flight(layout, state, chunk) >= 0:
        return False
    gap = layout.start[chunk] - layout.end[last]
    if gap < 0 or gap > largest:
        return False
    between = layout.unit[chunk] - 1
    while between > last:
        if state.status[between] != ABSENT:
            return False
        between -= 1
    return True


def _amplify(layout: Layout, state: State, options: Options, reg: Array) -> None:
    """Widen the request while the next unit is absent, adjacent and within the window."""
    last = reg[Reg.LAST]
    size = state.window[reg[Reg.FIRST]]
    window = layout.start[reg[Reg.FIRST]] + size
    chunk = last + 1
    while (
        chunk < len(layout.end)
        and layout.end[chunk] <= window
        and _is_wanting(layout, state, chunk)
        and _joins(layout, state, options.gap, last, chunk)
    ):
        last = unit_last(layout, chunk)
        chunk = last + 1
    reg[Reg.LAST] = last
    if options.limit > 0 and chunk < len(layout.end):
        state.window[chunk] = min(2 * size, options.limit)


def _is_wanting(layout: Layout, state: State, chunk: int) -> bool:
    """Whether nothing of a unit is there, and some of it may be kept; `chunk` is its first."""
    known = False
    unit = layout.unit[chunk]
    while chunk < len(layout.unit) and layout.unit[chunk] == unit:
        if state.status[chunk] != ABSENT:
            return False
        known = known or layout.known[chunk] != 0
        chunk += 1
    return known


def _claim(state: State, reg: Array) -> None:
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        if state.status[chunk] == ABSENT:
            state.status[chunk] = PENDING
            state.owner[chunk] = reg[Reg.TICKET]
