"""Prefetch workers: threads that fetch in the background and step back for users."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.backend import prefetching
from storage.errors import StorageError
from storage.plan import BLOCKED, PREFETCH, Segments, batch_end

if TYPE_CHECKING:
    from storage.cache._filecache import FileCache

__all__ = ["Prefetcher"]


class Prefetcher:
    """A queue of batches of chunk rows, and the workers that take them.

    Everything is guarded by the cache's condition. A batch that fails is dropped: the failed
    request is an event, and whoever needs its chunks fetches them himself. What fails otherwise
    is raised by `drain` or `close`.
    """

    def __init__(self, cache: FileCache, workers: int) -> None:
        self._cache = cache
        self._limit = workers
        self._queue: deque[Sequence[int]] = deque()
        self._busy = 0
        self._stopping = False
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []

    @property
    def workers(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    def put(self, rows: Sequence[int]) -> None:
        """Queue chunk rows, cut into batches, and see that workers are there."""
        decider = self._cache.decider
        pos = 0
        with self._cache.changed:
            self._cache.counted.prefetch_unmerged_chunks += len(rows)
            while pos < len(rows):
                end = batch_end(decider.layout, decider.options, rows, pos)
                self._queue.append(rows[pos:end])
                pos = end
            self._cache.changed.notify_all()
            while len(self._threads) < min(self._limit, len(self._queue)):
                thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
                self._threads.append(thread)
                thread.start()

    def drain(self) -> None:
        """Wait until nothing is queued or under way."""
        with self._cache.changed:
            self._cache.changed.wait_for(lambda: self._stopping or not (self._queue or self._busy))
        self._raise()

    def close(self) -> None:
        """Let requests in flight finish, drop the rest."""
        with self._cache.changed:
            self._stopping = True
            self._queue.clear()
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
            self._cache.changed.wait_for(lambda: self._stopping or self._queue)
            if self._stopping:
                return None
            self._busy += 1
            return self._queue.popleft()

    def _fetch(self, rows: Sequence[int]) -> None:
        with self._cache.changed:
            lengths = [self._cache.decider.layout.size[row] for row in rows]
            read = self._cache.decider.begin(Segments(rows, [0] * len(rows), lengths), PREFETCH)
        with prefetching():
            self._cache.run(read, None, -1)
