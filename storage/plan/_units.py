"""Units: chunks that are stored as one, and so fetched and decoded as one."""

from __future__ import annotations

from storage.image.tables import BATCH as _BATCH
from storage.plan._state import EVICTING, PENDING, STORING, WHOLE, Array, Layout, Reg, Segments, State

__all__ = ["in_flight", "merge_end", "payer", "unit_last"]


def unit_last(layout: Layout, chunk: int) -> int:
    """The last chunk of a chunk's unit."""
    unit = layout.unit[chunk]
    while chunk + 1 < len(layout.unit) and layout.unit[chunk + 1] == unit:
        chunk += 1
    return chunk


def in_flight(layout: Layout, state: State, chunk: int) -> int:
    """A chunk of the same unit that somebody is fetching or storing; -1 if there is none.

    Where units are evicted as one, also one that somebody is evicting.
    """
    unit = layout.unit[chunk]
    chunk = unit
    while chunk < len(layout.unit) and layout.unit[chunk] == unit:
        if state.status[chunk] == PENDING or state.status[chunk] == STORING:
            return chunk
        if state.status[chunk] == EVICTING and state.counters[WHOLE] != 0:
            return chunk
        chunk += 1
    return -1


def merge_end(layout: Layout, chunk: int) -> int:
    """Where a request that ends with a chunk ends as far as merging goes.

    A batch, of which only its context knows the length, counts as soon as something follows it.
    """
    if layout.kind[chunk] == _BATCH:
        return int(layout.start[chunk])
    return int(layout.end[chunk])


def payer(layout: Layout, segments: Segments, reg: Array, there: Array, chunk: int) -> int:
    """Which chunk of a unit that was fetched its bytes are put down to.

    One that was asked for, if any, rather than one that was not; of those one that was not
    `there` already; of those the first. `chunk` is the unit's first in the request.
    """
    last = min(unit_last(layout, chunk), reg[Reg.LAST])
    pos = reg[Reg.POS]
    best, rank = chunk, 4
    for other in range(chunk, last + 1):
        while pos < reg[Reg.SPAN] and segments.chunk[pos] < other:
            pos += 1
        asked = pos < reg[Reg.SPAN] and segments.chunk[pos] == other
        place = (0 if asked else 2) + (1 if there[other] != 0 else 0)
        if place < rank:
            best, rank = other, place
    return best
