"""What a read would do on a given cache, step by step, and why: no IO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from storage.plan._decider import Decider, Read
from storage.plan._state import COMPLETE, FETCH, READY, Layout, Options, Segments, keep_all

__all__ = ["Step", "explain"]


class Step(NamedTuple):
    """One action of a read.

    Attributes
    ----------
    action
        ``cache`` or ``fetch``.
    blob, offset, length
        The range of the blob that is asked for; of the uncompressed blob for ``cache``.
    chunks
        Chunk rows, in order.
    causes
        For each of them: ``demand``, ``amplify`` or ``refetch``; ``ready`` from the cache.
    user_bytes
        Bytes that the read gets from it.
    why
        In words.
    """

    action: str
    blob: int
    offset: int
    length: int
    chunks: tuple[int, ...]
    causes: tuple[str, ...]
    user_bytes: int
    why: str


def explain(layout: Layout, options: Options, segments: Segments, ready: Iterable[int] = ()) -> list[Step]:
    """The steps of one read, on an unbounded cache in which the chunks `ready` are.

    Parameters
    ----------
    layout, options, segments
        See `plan_layout`, `plan_options`, and `Image.segments`.
    """
    decider = Decider(layout, options, None, keep_all)
    decider.open(tuple(ready))
    read = decider.begin(segments)
    steps = []
    while (action := decider.advance(read)) != COMPLETE:
        steps.append(_fetch(decider, options, read) if action == FETCH else _serve(decider, read))
        if action == FETCH:
            decider.arrive(read)
            decider.persisted(read)
        else:
            decider.served(read)
    return steps


def _serve(decider: Decider, read: Read) -> Step:
    layout, span = decider.layout, read.span
    rows = tuple(read.segments.chunk[pos] for pos in span)
    asked = sum(read.segments.length[pos] for pos in span)
    place = layout.offset[rows[0]] + read.segments.offset[span.start]
    why = f"{_chunks(len(rows))} ready in the cache"
    return Step("cache", layout.blob[rows[0]], place, asked, rows, ("ready",) * len(rows), asked, why)


def _fetch(decider: Decider, options: Options, read: Read) -> Step:
    layout, rows = decider.layout, read.chunks
    asked = {read.segments.chunk[pos] for pos in read.span if read.segments.offset[pos] >= 0}
    causes = tuple(_cause(decider, row, asked) for row in rows)
    start, end = layout.start[rows.start], layout.end[rows[-1]]
    why = [f"{_chunks(len(asked))} asked for and not in the cache"]
    if along := causes.count("amplify"):
        where = f"within {options.amplify:,} bytes of the first" if options.amplify else "from what lies behind"
        why.append(f"{along} more fetched along, {where}")
    if again := causes.count("refetch"):
        why.append(f"{again} fetched again, since the range spans them")
    given = sum(read.segments.length[pos] for pos in read.span)
    return Step("fetch", layout.blob[rows.start], start, end - start, tuple(rows), causes, given, "; ".join(why))


def _cause(decider: Decider, row: int, asked: set[int]) -> str:
    if decider.state.status[row] == READY:
        return "refetch"
    return "demand" if row in asked else "amplify"


def _chunks(count: int) -> str:
    return f"{count} chunk{'s' if count != 1 else ''}"
