"""Prefetching in answer to reads: what a policy suggests, queued, and taken in batches.

Numba's subset, like all of the decider. Before a read does anything, a policy is told of each of
its chunks and may suggest others. Those that are absent wait in a ring, from which prefetch
workers take neighbours together, before anything of a list that was given at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from storage.plan._advance import joins_batch
from storage.plan._state import ABSENT, READY, Array, Layout, Options, Segments, State

__all__ = ["LONGEST", "Ahead", "Queue", "clear", "new_queue", "suggest", "take"]

LONGEST = 256
"""The most chunks that are taken together."""

_FIRST = 0  # entries of `Queue.ends`, which only grow
_END = 1


class Ahead(NamedTuple):
    """A prefetch policy for one image: a function over an int64 and a float64 arena.

    ``on_read(ints, floats, chunk, ready, out) -> count``: a user reads `chunk`, which is `ready` (1) or not (0);
    chunk rows to prefetch are put into `out`, the most urgent first, and counted.
    """

    on_read: Callable[[Array, Array, int, int, Array], int]
    ints: Array
    floats: Array


class Queue(NamedTuple):
    """A ring of suggested chunk rows; when it is full, further ones are dropped.

    Attributes
    ----------
    rows : (n,) int64
    ends : (2,) int64
    """

    rows: Array
    ends: Array


def new_queue(chunks: int) -> Queue:
    """An empty queue with room for each chunk once."""
    return Queue(np.zeros(max(chunks, 1), np.int64), np.zeros(2, np.int64))


def suggest(ahead: Ahead, state: State, segments: Segments, first: int, end: int, queue: Queue, out: Array) -> int:
    """Tell the policy of a read of segments `first` to `end`; returns how many rows were queued."""
    queued, before = 0, -1
    for pos in range(first, end):
        chunk = segments.chunk[pos]
        if chunk != before:
            ready = 1 if state.status[chunk] == READY else 0
            count = ahead.on_read(ahead.ints, ahead.floats, chunk, ready, out)
            for index in range(count):
                queued += _put(state, queue, out[index])
        before = chunk
    return queued


def _put(state: State, queue: Queue, row: int) -> int:
    ends = queue.ends
    if not 0 <= row < len(state.status) or state.status[row] != ABSENT:
        return 0
    if ends[_END] - ends[_FIRST] == len(queue.rows):
        return 0
    queue.rows[ends[_END] % len(queue.rows)] = row
    ends[_END] += 1
    return 1


def take(layout: Layout, state: State, options: Options, queue: Queue, out: Array) -> int:
    """Take a batch of what is still absent out of the queue, by the rules of `batch_end`.

    Returns how many rows of `out` it fills; as many as LONGEST.
    """
    ends, rows, count = queue.ends, queue.rows, 0
    while ends[_FIRST] < ends[_END] and count < LONGEST:
        row = rows[ends[_FIRST] % len(rows)]
        if state.status[row] == ABSENT:
            if count > 0 and not joins_batch(layout, options, out[0], out[count - 1], row):
                break
            out[count] = row
            count += 1
        ends[_FIRST] += 1
    return count


def clear(queue: Queue) -> None:
    """Drop what is queued."""
    queue.ends[_FIRST] = queue.ends[_END]
