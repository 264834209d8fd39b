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

__all__ = ["advance", "batch_end", "unblock"]


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
    if action != SERVE:
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
    if status == READY:
        _serve_run(state, policy, segments, reg)
        return SERVE
    if status != ABSENT:
        reg[Reg.WAITING] = chunk
        return WAIT
    _take_run(layout, state, options, segments, reg)
    _amplify(layout, state, options, reg)
    _claim(state, reg)
    return FETCH


def _advance_prefetch(layout: Layout, state: State, options: Options, segments: Segments, reg: Array) -> int:
    """Take the next absent run of the list; what is ready or on its way is passed over."""
    pos = reg[Reg.POS]
    while pos < reg[Reg.END] and state.status[segments.chunk[pos]] != ABSENT:
        pos += 1
    reg[Reg.POS] = pos
    if pos == reg[Reg.END]:
        return COMPLETE
    if state.counters[BLOCKED] > 0:
        return YIELD
    _take_run(layout, state, options, segments, reg)
    _claim(state, reg)
    return FETCH


def batch_end(layout: Layout, options: Options, rows: Array, pos: int) -> int:
    """Where the batch of a prefetch list that begins at `pos` ends: neighbours, until the batch is full."""
    first = last = rows[pos]
    pos += 1
    while pos < len(rows) and layout.end[last] - layout.start[first] < options.batch:
        gap = layout.start[rows[pos]] - layout.end[last]
        if layout.blob[rows[pos]] != layout.blob[last] or gap < 0 or gap > options.gap:
            break
        last = rows[pos]
        pos += 1
    return pos


def _serve_run(state: State, policy: Policy, segments: Segments, reg: Array) -> None:
    """Pin the run of ready chunks at POS, so that none is evicted while it is read."""
    pos = reg[Reg.POS]
    while pos < reg[Reg.END] and state.status[segments.chunk[pos]] == READY:
        chunk = segments.chunk[pos]
        state.pins[chunk] += 1
        policy.on_hit(state.ints, state.floats, chunk)
        pos += 1
    reg[Reg.SPAN] = pos


def _take_run(layout: Layout, state: State, options: Options, segments: Segments, reg: Array) -> None:
    """One request for the absent chunks at POS, merged while neighbours and below the batch."""
    pos = reg[Reg.POS]
    first = last = segments.chunk[pos]
    pos += 1
    while pos < reg[Reg.END] and layout.end[last] - layout.start[first] < options.batch:
        chunk = segments.chunk[pos]
        if not _joins(layout, state, options, last, chunk):
            break
        last = chunk
        pos += 1
    reg[Reg.SPAN] = pos
    reg[Reg.FIRST] = first
    reg[Reg.LAST] = last


def _joins(layout: Layout, state: State, options: Options, last: int, chunk: int) -> bool:
    """Whether a request that ends with `last` may go on to `chunk` without fetching anything twice."""
    if chunk <= last or layout.blob[chunk] != layout.blob[last]:
        return False
    gap = layout.start[chunk] - layout.end[last]
    if gap < 0 or gap > options.gap:
        return False
    while chunk > last:
        if state.status[chunk] != ABSENT:
            return False
        chunk -= 1
    return True


def _amplify(layout: Layout, state: State, options: Options, reg: Array) -> None:
    """Widen the request while the next chunk is absent, adjacent and within the window."""
    last = reg[Reg.LAST]
    size = state.window[reg[Reg.FIRST]]
    window = layout.start[reg[Reg.FIRST]] + size
    chunk = last + 1
    while (
        chunk < len(layout.end)
        and layout.end[chunk] <= window
        and layout.known[chunk] != 0
        and _joins(layout, state, options, last, chunk)
    ):
        last = chunk
        chunk += 1
    reg[Reg.LAST] = last
    if options.limit > 0 and last + 1 < len(layout.end):
        state.window[last + 1] = min(2 * size, options.limit)


def _claim(state: State, reg: Array) -> None:
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        state.status[chunk] = PENDING
        state.owner[chunk] = reg[Reg.TICKET]
