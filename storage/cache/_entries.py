"""What a cache has to enter in an index of chunks, and who does it: a thread that is there while there is something.

An entry speaks of a chunk that is on disk and marked, whenever it is seen: it is made after the mark, and a victim's
is dropped before that is cleared. A process that is killed between the two enters the chunk when it opens the folder
again.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from storage.cache._index import ChunkIndex, Held
from storage.errors import CacheError
from storage.plan import READY

__all__ = ["Entries", "Entry"]

# What is stored within so many seconds is entered at once; so many of those found at the opening are, at a time.
_DELAY_S = 1.0
_SLICE = 1024

Entry = tuple[str, Held]


class Entries:
    """The entries that one cache makes.

    Parameters
    ----------
    index
        Where.
    status
        Of the chunks.
    named
        What is entered of chunks, of those that the index can know.
    failed
        Told why, when the index cannot be used.
    """

    def __init__(
        self,
        index: ChunkIndex,
        status: Sequence[int],
        named: Callable[[Sequence[int]], list[Entry]],
        failed: Callable[[CacheError], None],
    ) -> None:
        self._index, self._status, self._named, self._failed = index, status, named, failed
        self._lock = threading.Lock()
        self._stored: list[int] = []
        self._earlier: Iterator[int] = iter(())
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._changing = threading.Lock()  # from the look at what is ready until that is entered
        self._works = True

    def add(self, rows: Iterable[int]) -> None:
        """Chunks were marked."""
        with self._lock:
            self._stored.extend(rows)
            self._begin()

    def add_earlier(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> None:
        """Chunks were found in the folder: most likely they are entered, unless there was no index, or a kill."""
        if len(rows):
            with self._lock:
                self._earlier = iter(rows)
                self._begin()

    def _begin(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._work, name="entries", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while not self._closing.wait(_DELAY_S):
            self.flush()
            while (rows := list(itertools.islice(self._earlier, _SLICE))) and not self._closing.is_set():
                self._enter(rows)
            with self._lock:
                if not self._stored:
                    self._thread = None
                    return

    def flush(self) -> None:
        """Enter all that was stored."""
        with self._lock:
            rows, self._stored = self._stored, []
        self._enter(rows)

    def _enter(self, rows: Sequence[int]) -> None:
        """Enter those that are still there."""
        with self._changing:
            self._do(self._index.add, self._named([row for row in rows if self._status[row] == READY]))

    def forget(self, rows: Sequence[int]) -> None:
        """Drop the entries of chunks that are about to go, and are READY no more."""
        with self._changing:
            self._do(self._index.drop, self._named(rows))

    def _do(self, change: Callable[[list[Entry]], None], entries: list[Entry]) -> None:
        try:
            if entries and self._works:
                change(entries)
        except CacheError as error:
            self._works = False
            self._failed(error)

    def close(self) -> None:
        """Enter the rest."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        self.flush()
