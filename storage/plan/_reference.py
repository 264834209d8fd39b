"""Plan `reference`: what nydusd asks of its backend, request by request.

A read is cut into ranges of neighbouring chunks. The chunks of a range are looked at one by
one: ready ones are kept for the cache, absent ones are claimed, those in flight are waited
for. Then the range falls into regions of one sort and of continuous user data, done in turn.
A region from the backend is widened by whatever follows within the batch; only ready chunks
at its tail are left out again, so ready chunks inside the span are fetched twice; chunks
that it was widened by are not claimed, so others may fetch them at the same time.

Of a v5 image nothing is widened here. Its reads have, behind what the user wants, segments at
offset -1; those that end up in a region with the user's are fetched with it, and what lies
between chunks that are named is thrown away.

Source: nydus ``storage/src/cache/{mod,cachedfile}.rs``, ``storage/src/meta/mod.rs``.
"""

from __future__ import annotations

from storage.image.tables import BATCH as _BATCH
from storage.image.tables import ZRAN as _ZRAN
from storage.plan._state import (
    ABSENT,
    COMPLETE,
    FETCH,
    PENDING,
    READY,
    SERVE,
    WAIT,
    Array,
    Layout,
    Options,
    Policy,
    Reg,
    Segments,
    State,
)
from storage.plan._units import merge_end

__all__ = ["CACHE", "advance_reference", "widen"]

_LARGEST = 16 << 20
# What a segment of a range was classified as.
CACHE = 1
BACKEND = 2
PASSED = 3  # ready, and not the user's


def advance_reference(
    layout: Layout, state: State, options: Options, policy: Policy, segments: Segments, marks: Array, reg: Array
) -> int:
    """The next action of a user read; see `advance`."""
    if reg[Reg.POS] == reg[Reg.LIMIT]:
        reg[Reg.SCAN] = reg[Reg.POS]
        reg[Reg.LIMIT] = _merge(layout, options, segments, reg)
    if segments.offset[reg[Reg.POS]] < 0:
        _drop(state, segments, reg)
        return COMPLETE
    if not _classify(state, segments, marks, reg):
        return WAIT
    _take_region(layout, segments, marks, reg)
    if marks[reg[Reg.POS]] == CACHE:
        for pos in range(reg[Reg.POS], reg[Reg.SPAN]):
            policy.on_hit(state.ints, state.floats, segments.chunk[pos])
        return SERVE
    _widen(layout, state, options, segments, reg)
    return FETCH


def _merge(layout: Layout, options: Options, segments: Segments, reg: Array) -> int:
    """End of the range at POS: neighbours in the blob, until the batch is full."""
    pos = reg[Reg.POS]
    first = last = segments.chunk[pos]
    pos += 1
    while pos < reg[Reg.END] and merge_end(layout, last) - layout.start[first] < options.batch:
        chunk = segments.chunk[pos]
        gap = _gap(layout, last, chunk)
        if layout.blob[chunk] != layout.blob[last] or gap < 0 or gap > options.gap:
            break
        last = chunk
        pos += 1
    return pos


def _gap(layout: Layout, last: int, chunk: int) -> int:
    """Bytes between two chunks; next to a batch, uncompressed ones; in a gzip stream one follows the other."""
    if layout.kind[chunk] == _ZRAN and chunk == last + 1:
        return 0
    if layout.kind[last] == _BATCH or layout.kind[chunk] == _BATCH:
        return int(layout.offset[chunk] - layout.offset[last] - layout.size[last])
    return int(layout.start[chunk] - layout.end[last])


def _classify(state: State, segments: Segments, marks: Array, reg: Array) -> bool:
    """Mark the range's segments; false when one is in flight and must be waited for."""
    while reg[Reg.SCAN] < reg[Reg.LIMIT]:
        scan = reg[Reg.SCAN]
        chunk = segments.chunk[scan]
        if state.status[chunk] == READY and segments.offset[scan] < 0:
            marks[scan] = PASSED
        elif state.status[chunk] == READY:
            marks[scan] = CACHE
            state.pins[chunk] += 1
        elif state.status[chunk] == ABSENT:
            marks[scan] = BACKEND
            state.status[chunk] = PENDING
            state.owner[chunk] = reg[Reg.TICKET]
        elif reg[Reg.TIMED_OUT] != 0:
            marks[scan] = BACKEND
        else:
            reg[Reg.WAITING] = reg[Reg.WANTED] = chunk
            return False
        reg[Reg.TIMED_OUT] = 0
        reg[Reg.SCAN] = scan + 1
    return True


def _drop(state: State, segments: Segments, reg: Array) -> None:
    """What was to be fetched along has nothing to go with."""
    for pos in range(reg[Reg.POS], reg[Reg.SCAN]):
        chunk = segments.chunk[pos]
        if state.status[chunk] == PENDING and state.owner[chunk] == reg[Reg.TICKET]:
            state.status[chunk] = ABSENT
            state.owner[chunk] = -1
    reg[Reg.POS] = reg[Reg.SCAN] = reg[Reg.LIMIT] = reg[Reg.END]


def _take_region(layout: Layout, segments: Segments, marks: Array, reg: Array) -> None:
    """Segments at POS of one sort whose user data is continuous in the uncompressed blob."""
    pos = reg[Reg.POS]
    end = layout.offset[segments.chunk[pos]] + segments.offset[pos] + segments.length[pos]
    pos += 1
    while (
        pos < reg[Reg.LIMIT]
        and marks[pos] == marks[pos - 1]
        and (segments.offset[pos] < 0 or layout.offset[segments.chunk[pos]] + segments.offset[pos] == end)
    ):
        end += segments.length[pos]
        pos += 1
    reg[Reg.SPAN] = pos


def _beyond(layout: Layout, chunk: int) -> int:
    """How much more than a chunk must fit the window: pieces of a gzip stream want a largest chunk's room."""
    return _LARGEST if layout.kind[chunk] == _ZRAN else 0


def widen(layout: Layout, size: int, rows: Array, pos: int, end: int) -> tuple[int, int]:
    """First and last chunk of a request for ``rows[pos:end]``, ascending, with all that lies within `size` bytes."""
    window = layout.start[rows[pos]] + size
    unit = first = chunk = layout.unit[rows[pos]]
    while chunk < len(layout.end) and layout.blob[chunk] == layout.blob[first]:
        if pos < end and chunk == rows[pos]:
            pos += 1
        elif layout.unit[chunk] != unit and layout.end[chunk] + _beyond(layout, chunk) > window:
            break
        unit = layout.unit[chunk]
        chunk += 1
    return first, chunk - 1


def _widen(layout: Layout, state: State, options: Options, segments: Segments, reg: Array) -> None:
    own = segments.chunk[reg[Reg.SPAN] - 1]
    first, last = widen(layout, options.amplify, segments.chunk, reg[Reg.POS], reg[Reg.SPAN])
    while last > own and state.status[last] == READY:
        last -= 1
    reg[Reg.FIRST] = first
    reg[Reg.LISTED] = int(options.amplify == 0)
    # A gap chunk that does not fit ends the walk before the user's own last chunk.
    reg[Reg.LAST] = max(last, own)
