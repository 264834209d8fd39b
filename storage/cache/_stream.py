"""Prefetch of a whole blob as one stream: chunks are cut out of it as it passes by.

Over HTTP that is one request without an end, which a proxy in between can keep; where it breaks it is
taken up again. The stream stands still while users wait, and is left behind the last chunk that is missing.

Source: nydus ``rafs/src/prefetch.rs``.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import numpy as np

from storage.backend import BlobReader, Transfer, copy_blob
from storage.plan import READY

if TYPE_CHECKING:
    from storage.cache._filecache import FileCache
    from storage.cache._prefetch import Prefetcher

__all__ = ["stream_blob"]


class _StreamOverError(Exception):
    """What is left of the stream is not wanted."""


def stream_blob(cache: FileCache, prefetcher: Prefetcher, blob: int, reader: BlobReader) -> None:
    """Read a blob from the first chunk that is not there to the last, and store what is missing."""
    first = cache.first_chunk[blob]
    status = np.frombuffer(cache.decider.state.status, np.uint8)[first : first + int(cache.chunk_counts[blob])]
    missing = np.flatnonzero(status != READY) + first
    if len(missing) == 0 or not prefetcher.wait_for_users():
        return
    stream = _Stream(cache, prefetcher, blob, int(missing[0]), int(missing[-1]) + 1)
    with contextlib.suppress(_StreamOverError):
        copy_blob(reader, stream.take, stream.window.start)


class _Window:
    """The part of a blob that went by and is not used yet, as a reader of the blob."""

    def __init__(self, blob_id: str, offset: int) -> None:
        self.blob_id = blob_id
        self.start = offset
        self.data = bytearray()
        self._used = offset  # up to where what is used has come
        self._unused = 0

    def blob_size(self) -> int:
        return self.start + len(self.data)

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        """Bytes that are in the window; those that were used before were received then."""
        at, end, used = offset - self.start, offset + len(buffer), self._used
        with memoryview(self.data) as data:
            buffer[:] = data[at : at + len(buffer)]
        self._use(offset, end)
        return Transfer(max(end - max(offset, used), 0), 0)

    def drop(self, end: int) -> int:
        """Forget what lies before `end`; how much went by since the last time that was never used."""
        self._use(end, end)
        del self.data[: end - self.start]
        self.start = end
        unused, self._unused = self._unused, 0
        return unused

    def _use(self, start: int, end: int) -> None:
        self._unused += max(start - self._used, 0)
        self._used = max(end, self._used)


class _Stream:
    """Takes the pieces of one blob's stream: those of chunk rows `row` to `stop`."""

    def __init__(self, cache: FileCache, prefetcher: Prefetcher, blob: int, row: int, stop: int) -> None:
        self._cache, self._prefetcher, self._blob = cache, prefetcher, blob
        self._start, self._end = cache.decider.layout.start, cache.decider.layout.end
        self._row, self._stop = cache.decider.layout.unit[row], stop
        self.window = _Window("", cache.decider.layout.start[row])

    def take(self, piece: memoryview) -> None:
        """One more piece; what is whole now is stored."""
        if not self._prefetcher.pay(len(piece)):
            raise _StreamOverError
        self.window.data += piece
        row, come = self._row, self.window.blob_size()
        while row < self._stop and self._end[row] <= come:
            row += 1
        if row > self._row:
            self._store(range(self._row, row))
            self._row = row
        if row == self._stop:
            raise _StreamOverError

    def _store(self, rows: range) -> None:
        """Store what is not there yet of chunks that are all in the window; the rest of it was for nothing."""
        begun, start, status = time.monotonic_ns(), self.window.start, self._cache.decider.state.status
        wanted = [row for row in rows if status[row] != READY]
        if wanted and not self._prefetcher.fetch(wanted, self.window):
            raise _StreamOverError
        end = self._end[rows[-1]]
        if rows.stop < self._stop:
            end = min(end, self._start[rows.stop])  # pieces of a gzip stream overlap
        lost = self.window.drop(end)
        if lost:
            self._cache.fetcher.passed_by(begun, self._blob, start, lost)
