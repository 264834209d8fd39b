"""Prefetch workers: threads that fetch in the background and step back for users."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.errors import StorageError
from storage.plan import BLOCKED, PREFETCH, Ahead, Queue, Segments, batch_end, clear, new_queue, suggest, take

if TYPE_CHECKING:
    from storage.cache._filecache import FileCache

__all__ = ["Prefetcher"]

_RUN = 256  # the most chunks that a batch of suggested ones has


class Prefetcher:
    """A queue of batches of chunk rows, and the workers that take them.

    Everything is guarded by the cache's condition. A batch that fails is dropped: the failed
    request is an event, and whoever needs its chunks fetches them himself. What fails otherwise
    is raised by `drain` or `close`.
    """

    def __init__(self, cache: FileCache, workers: int, rate: int = 0) -> None:
        self._cache = cache
        self._limit = workers
        self._rate = rate
        self._free = 0
        self._ahead: Ahead | None = None
        self._suggested = Queue(*(memoryview(array) for array in new_queue(0)))
        self._out = memoryview(bytearray(8)).cast("q")
        self._queue: deque[Sequence[int]] = deque()
        self._busy = 0
        self._stopping = False
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []

    def put(self, rows: Sequence[int]) -> None:
        """Queue chunk rows, cut into batches, and see that workers are there."""
        decider = self._cache.decider
        pos = 0
        with self._cache.changed:
            while pos < len(rows):
                end = batch_end(decider.layout, decider.options, rows, pos)
                self._queue.append(rows[pos:end])
                pos = end
            self._start_workers(len(self._queue))

    def answer(self, ahead: Ahead) -> None:
        """From now on, let a policy suggest chunks at each read."""
        chunks = len(self._cache.decider.layout.size)
        with self._cache.changed:
            self._suggested = Queue(*(memoryview(array) for array in new_queue(chunks)))
            self._out = memoryview(bytearray(8 * max(chunks, 1))).cast("q")
            self._ahead = ahead

    def on_read(self, segments: Segments) -> None:
        """A user reads; the cache's lock is held."""
        if self._ahead is not None:
            state, end = self._cache.decider.state, len(segments.chunk)
            queued = suggest(*self._ahead, state, segments, 0, end, self._suggested, self._out)
            if queued:
                self._start_workers(queued)

    @property
    def answers(self) -> bool:
        """Whether reads need to be told of."""
        return self._ahead is not None

    def _start_workers(self, work: int) -> None:
        self._cache.changed.notify_all()
        while len(self._threads) < min(self._limit, work):
            thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
            self._threads.append(thread)
            thread.start()

    def drain(self) -> None:
        """Wait until nothing is queued or under way."""
        with self._cache.changed:
            self._cache.changed.wait_for(lambda: self._stopping or not (self._waiting or self._busy))
        self._raise()

    def close(self) -> None:
        """Let requests in flight finish, drop the rest."""
        with self._cache.changed:
            self._stopping = True
            self._queue.clear()
            clear(self._suggested)
            self._cache.changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._raise()

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def wait_for_users(self) -> bool:
        """Wait until no user read is blocked; false when it is time to stop."""
        counters = self._cache.decider.state.counters
        with self._cache.changed:
            self._cache.changed.wait_for(lambda: self._stopping or counters[BLOCKED] == 0)
            return not self._stopping

    def _work(self) -> None:
        while (rows := self._pop()) is not None:
            try:
                self._fetch(rows)
            except StorageError:
                pass
            except Exception as error:  # a worker must outlive it, or `drain` would wait for ever
                self._failure = error
            finally:
                with self._cache.changed:
                    self._busy -= 1
                    self._cache.changed.notify_all()

    def _pop(self) -> Sequence[int] | None:
        with self._cache.changed:
            self._cache.changed.wait_for(lambda: self._stopping or self._waiting)
            if self._stopping:
                return None
            self._busy += 1
            count = take(self._cache.decider.layout, self._cache.decider.options, self._suggested, self._out[:_RUN])
            rows = list(self._out[:count]) if count else self._queue.popleft()
            begin = self._paced(rows)
            self._cache.changed.wait_for(lambda: self._stopping, max(begin - time.monotonic_ns(), 0) / 1e9)
            return rows

    @property
    def _waiting(self) -> bool:
        return bool(self._queue) or self._suggested.ends[0] < self._suggested.ends[1]

    def _paced(self, rows: Sequence[int]) -> int:
        """When a batch may begin: when those before it have had the time that the rate gives them."""
        now = time.monotonic_ns()
        if self._rate == 0:
            return now
        layout = self._cache.decider.layout
        begin = max(now, self._free)
        self._free = begin + (layout.end[rows[-1]] - layout.start[rows[0]]) * 1_000_000_000 // self._rate
        return begin

    def _fetch(self, rows: Sequence[int]) -> None:
        with self._cache.changed:
            lengths = [self._cache.decider.layout.size[row] for row in rows]
            read = self._cache.decider.begin(Segments(rows, [0] * len(rows), lengths), PREFETCH)
        self._cache.run(read, None, -1)
