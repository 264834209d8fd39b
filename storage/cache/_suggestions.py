"""What a prefetch policy suggests in answer to reads, until a worker takes it."""

from __future__ import annotations

import numpy as np

from storage.plan import LONGEST, Ahead, Decider, Queue, Segments, clear, new_queue, suggest, take

__all__ = ["Suggestions"]


class Suggestions:
    """A queue over a cache's decisions. Not thread-safe: the cache's lock is held around each call."""

    def __init__(self, ahead: Ahead, decider: Decider) -> None:
        chunks = len(decider.layout.size)
        self._ahead = ahead
        self._decider = decider
        self._queue = Queue(*(memoryview(array) for array in new_queue(chunks)))
        self._out = np.zeros(max(chunks, LONGEST), np.int64).data

    def hear(self, segments: Segments) -> int:
        """A user reads; returns how many chunks are queued for it."""
        return suggest(self._ahead, self._decider.state, segments, 0, len(segments.chunk), self._queue, self._out)

    @property
    def waiting(self) -> bool:
        """Whether something is queued, be it there already."""
        return bool(self._queue.ends[0] < self._queue.ends[1])

    def take(self) -> list[int]:
        """A batch of what is wanted most and not there; none if there is none."""
        decider = self._decider
        count = take(decider.layout, decider.state, decider.options, self._queue, self._out)
        return list(self._out[:count])

    def clear(self) -> None:
        """Drop all that is queued."""
        clear(self._queue)
