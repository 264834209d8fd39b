"""Prefetch workers: threads that fetch in the background and step back for users."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from storage.backend import prefetching
from storage.cache._stream import stream_blob
from storage.cache._suggestions import Suggestions
from storage.errors import StorageError
from storage.plan import BLOCKED, PREFETCH, Ahead, Batches, Segments, new_budget, pay, spend

if TYPE_CHECKING:
    from storage.backend import BlobReader
    from storage.cache._filecache import FileCache

__all__ = ["Prefetcher"]

_log = logging.getLogger("storage.cache")

Job = Callable[[], object]


class Prefetcher:
    """A queue of batches of chunk rows, and of blobs to be streamed, and the workers that take them.

    Everything is guarded by the cache's condition. A batch that fails is dropped: the failed
    request is an event and a line of the log, and whoever needs its chunks fetches them himself.
    What fails otherwise is raised by `drain` or `close`.

    A queued chunk that a user reads is not waited for: the user fetches it at once, before anything
    that is queued, and its batch, when its turn comes, is asked for without it.

    Parameters
    ----------
    workers
        How many threads there are at most; with none, wishes are dropped.
    bandwidth
        Bytes a second, 0 for no limit; see `storage.plan.new_budget`.
    """

    def __init__(self, cache: FileCache, workers: int, bandwidth: int = 0) -> None:
        self._cache = cache
        self._limit = workers
        self._budget = new_budget(bandwidth, time.monotonic_ns()).data if bandwidth else None
        self._queue: deque[Job] = deque()
        self._suggested: Suggestions | None = None
        self._taken: deque[Sequence[int]] = deque()  # of what was suggested, for workers with nothing to do
        self._busy = 0
        self._looking: int | None = None  # the thread with a batch about which nothing is decided yet
        self._active = True
        self._stopping = False
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []

    @property
    def workers(self) -> int:
        """How many threads there are."""
        return len(self._threads)

    def put(self, batches: Batches) -> None:
        """Queue batches, and see that workers are there and have decided about what they begin with.

        So whoever reads from then on finds the first batches claimed, as in a replay.
        """
        rows = batches.rows.data
        parts = [rows[start:end] for start, end in itertools.pairwise(batches.first.tolist()) if end > start]
        counted = self._cache.counted
        with self._cache.changed:
            counted.prefetch_unmerged_chunks += len(rows)
            counted.prefetch_requests_count += len(parts)
        self._put([partial(self._take, part) for part in parts])
        with self._cache.changed:
            self._cache.changed.wait_for(self._has_begun)

    def _has_begun(self) -> bool:
        """Whether every worker that could have something to do has decided about it, or waits to be let."""
        if not self._is_wanted():
            return True
        return self._looking is None and (not self._queue or self._busy == len(self._threads))

    def looked(self) -> None:
        """The calling worker has decided about its batch, or waits; the lock is held."""
        if self._looking == threading.get_ident():
            self._looking = None
            self._cache.changed.notify_all()

    def answer(self, ahead: Ahead) -> None:
        """Let a policy suggest chunks at each read; those come before what is queued."""
        with self._cache.changed:
            self._suggested = Suggestions(ahead, self._cache.decider)

    def hear(self, segments: Segments) -> None:
        """A user reads, who holds the lock: queue what the policy suggests, and see that workers are there."""
        if self._suggested is not None and self._limit and self._is_wanted() and self._suggested.hear(segments):
            idle = self._limit - self._busy - len(self._taken) - len(self._queue)
            self._taken += [rows for _ in range(idle) if (rows := self._suggested.take())]
            self._wake(len(self._taken))

    def put_blobs(self) -> None:
        """Queue all blobs to be read whole, each as one stream."""
        readers = enumerate(self._cache.fetcher.readers)
        self._put([partial(self._stream, *job) for job in readers])

    def _put(self, jobs: Sequence[Job]) -> None:
        with self._cache.changed:
            if self._limit and self._is_wanted():
                self._queue.extend(jobs)
                self._wake(len(self._queue))

    def _wake(self, jobs: int) -> None:
        """See that there are workers for so many jobs; the lock is held."""
        self._cache.changed.notify_all()
        while len(self._threads) < min(self._limit, jobs):
            thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
            self._threads.append(thread)
            thread.start()

    def start(self) -> None:
        """Take wishes again."""
        self._active = True

    def stop(self) -> None:
        """Drop what is queued, and what is wished for until `start`; requests in flight finish."""
        with self._cache.changed:
            self._active = False
            self._drop()

    def _drop(self) -> None:
        """Nothing is queued any more; the lock is held."""
        self._queue.clear()
        self._taken.clear()
        if self._suggested is not None:
            self._suggested.clear()
        self._cache.changed.notify_all()

    def drain(self) -> None:
        """Wait until nothing is queued or under way."""
        with self._cache.changed:
            self._cache.changed.wait_for(lambda: self._stopping or not self.is_busy)
        self._raise()

    def close(self) -> None:
        """Let requests in flight finish, drop the rest."""
        with self._cache.changed:
            self._stopping = True
            self._drop()
        for thread in self._threads:
            thread.join()
        self._raise()

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    @property
    def is_busy(self) -> bool:
        """Whether something is queued or under way."""
        return bool(self._queue or self._taken or self._busy or (self._suggested and self._suggested.waiting))

    def spend(self, size: int) -> None:
        """A user reads so many bytes."""
        if self._budget is not None:
            with self._cache.changed:
                spend(self._budget, size)

    def pay(self, size: int) -> bool:
        """Wait until a request of `size` bytes may begin; false when it is time to stop."""
        if self._budget is None:
            return self._is_wanted()
        with self._cache.changed:
            begin = pay(self._budget, size, time.monotonic_ns())
            while self._is_wanted() and (left := begin - time.monotonic_ns()) > 0:
                self.looked()
                self._cache.changed.wait(left / 1e9)
            return self._is_wanted()

    def _is_wanted(self) -> bool:
        return self._active and not self._stopping

    def wait_for_users(self) -> bool:
        """Wait until no user read is blocked; false when it is time to stop."""
        counters = self._cache.decider.state.counters
        with self._cache.changed:
            if counters[BLOCKED] > 0:
                self.looked()
            self._cache.changed.wait_for(lambda: not self._is_wanted() or counters[BLOCKED] == 0)
            return self._is_wanted()

    def _work(self) -> None:
        while (job := self._pop()) is not None:
            try:
                with prefetching():
                    job()
            except StorageError as error:
                _log.warning("a prefetch is dropped: %s", error)
            except Exception as error:  # a worker must outlive it, or `drain` would wait for ever
                self._failure = error
            finally:
                with self._cache.changed:
                    self._busy -= 1
                    self.looked()
                    self._cache.changed.notify_all()

    def _pop(self) -> Job | None:
        """The next job, once the one before is decided about, so that batches are begun in their order."""
        with self._cache.changed:
            while not self._stopping:
                if self._looking is None and (job := self._next()) is not None:
                    self._busy += 1
                    self._looking = threading.get_ident()
                    return job
                self._cache.changed.wait()
            return None

    def _next(self) -> Job | None:
        """What is suggested comes before what is queued; the lock is held."""
        if self._taken:
            return partial(self._take, self._taken.popleft())
        if self._suggested is not None and self._suggested.waiting:
            if rows := self._suggested.take():
                return partial(self._take, rows)
            self._cache.changed.notify_all()  # none of it was still to be had
        return self._queue.popleft() if self._queue else None

    def _take(self, rows: Sequence[int]) -> None:
        layout = self._cache.decider.layout
        if self._cache.is_ready(rows):
            return
        if self.wait_for_users() and self.pay(layout.end[rows[-1]] - layout.start[rows[0]]):
            self.fetch(rows)

    def _stream(self, blob: int, reader: BlobReader) -> None:
        with self._cache.changed:
            self.looked()
        stream_blob(self._cache, self, blob, reader)

    def fetch(self, rows: Sequence[int], source: BlobReader | None = None) -> bool:
        """Have chunks of one blob fetched, by default from the cache's reader of it; false when told to stop."""
        with self._cache.changed:
            lengths = [self._cache.decider.layout.size[row] for row in rows]
            read = self._cache.decider.begin(Segments(rows, [0] * len(rows), lengths), PREFETCH)
        return self._cache.executor.run(read, None, -1, source)
