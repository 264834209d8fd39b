"""Prefetch cut into requests.

Source: nydus ``storage/src/cache/{mod,cachedfile}.rs``, ``storage/src/meta/mod.rs``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.image import Image
from storage.image.tables import ZRAN as _ZRAN
from storage.plan._advance import batch_end
from storage.plan._reference import widen
from storage.plan._state import REFERENCE, Layout, Options, views
from storage.plan._units import unit_last
from storage.plan._wishes import Wish, wishes

__all__ = ["Batches", "cut", "plan_prefetch"]

I64 = npt.NDArray[np.int64]


class Batches(NamedTuple):
    """Chunk rows in the order in which they are to be fetched, and where each request's begin.

    Attributes
    ----------
    rows : (m,) int64
    first : (n + 1,) int64
        Batch ``i`` is ``rows[first[i]:first[i + 1]]``.
    """

    rows: I64
    first: I64

    def __len__(self) -> int:
        return len(self.first) - 1


def plan_prefetch(
    image: Image, layout: Layout, options: Options, files: Iterable[int] | None = None, everything: bool = False
) -> Batches:
    """What to read ahead of an image, request by request, whatever of it may be there already.

    Under ``reference`` these are nydusd's requests: ranges of a blob take the chunks that they
    touch, neighbours among the chunks of files are merged, and of v6 widened, until a batch is
    full; a chunk can be in several. Under ``exact`` it is the same chunks in the same order, each
    once, and none besides.

    Parameters
    ----------
    files, everything
        See `wishes`; rows of `Image.inodes`.
    """
    listed = None if files is None else list(files)
    asked = wishes(image, listed, everything, options.prefetch)
    view = views(layout)
    if options.plan == REFERENCE:
        return _joined([rows for wish in asked for rows in _requests(image, view, options, wish)])
    rows = np.concatenate([_rows(image, view, wish) for wish in asked]) if asked else np.zeros(0, np.int64)
    return cut(layout, options, rows[np.sort(np.unique(rows, return_index=True)[1])])


def cut(layout: Layout, options: Options, rows: npt.ArrayLike | range) -> Batches:
    """Cut chunk rows into batches, in the order given: neighbours, until a batch is full."""
    listed, view, ends = np.asarray(rows, np.int64), views(layout), [0]
    column = listed.data
    while ends[-1] < len(listed):
        ends.append(batch_end(view, options, column, ends[-1]))
    return Batches(listed, np.array(ends, np.int64))


def _joined(requests: list[I64]) -> Batches:
    first = np.cumsum([0, *map(len, requests)])
    return Batches(np.concatenate(requests) if requests else np.zeros(0, np.int64), first)


def _rows(image: Image, layout: Layout, wish: Wish) -> I64:
    return wish.rows if wish.rows is not None else _touched(image, layout, wish, wish.length)


def _requests(image: Image, layout: Layout, options: Options, wish: Wish) -> Iterable[I64]:
    """nydusd's requests for one wish."""
    if wish.rows is None:
        yield _touched(image, layout, wish, options.prefetch)
        return
    batches = cut(layout, options, wish.rows)
    for start, end in zip(batches.first[:-1].tolist(), batches.first[1:].tolist(), strict=True):
        rows = batches.rows[start:end]
        if image.version == 5:
            yield rows
        else:
            first, last = widen(layout, options.prefetch, rows.tolist(), 0, len(rows))
            yield np.arange(first, last + 1)


def _touched(image: Image, layout: Layout, wish: Wish, batch: int) -> I64:
    """Chunks that a range touches, and those behind it that the batch has room for; whole units."""
    start, end = wish.offset, wish.offset + wish.length
    base = int(image.blobs.first_chunk[wish.blob])
    stop = base + int(image.blobs.chunk_count[wish.blob])
    ends = np.asarray(layout.end)[base:stop]
    first = base + int(np.searchsorted(ends, start, "right"))
    if first == stop:
        return np.zeros(0, np.int64)
    first = last = int(layout.unit[first])
    while (chunk := unit_last(layout, last) + 1) < stop and not _is_past(layout, first, chunk, end, batch):
        last = chunk
    return np.arange(first, unit_last(layout, last) + 1)


def _is_past(layout: Layout, first: int, chunk: int, end: int, batch: int) -> bool:
    """Whether a range that begins with `first` ends before the unit of `chunk`."""
    if layout.kind[chunk] == _ZRAN:
        return bool(layout.end[chunk] - layout.start[first] > batch and layout.start[chunk] > end)
    return bool(layout.end[chunk - 1] >= end)
