"""Fetching a range: from the backend, through decoding and verification, to the cache file and the user."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.backend import BlobReader, Transfer
from storage.codec import buffer
from storage.errors import CacheError, IntegrityError, StorageError
from storage.events import Cause, Kind
from storage.image.decode import Decoder, Fetched
from storage.plan import PREFETCH, READY, STORING, WHOLE, Read, Reg, payer

if TYPE_CHECKING:
    from storage.cache._cursor import Cursor
    from storage.cache._filecache import FileCache

__all__ = ["Fetcher"]

_log = logging.getLogger("storage.cache")


class Fetcher:
    """Does the fetches of a cache, each in the thread that asked for it."""

    def __init__(self, cache: FileCache, decoder: Decoder, readers: Sequence[BlobReader]) -> None:
        self._cache = cache
        self._decoder = decoder
        self.readers = readers
        self._refused = False
        self._whole = cache.decider.state.counters[WHOLE] != 0
        # The first ones are those of the blobs' blob.meta.
        self._ids = itertools.count(len(readers))
        self._layout = layout = cache.decider.layout
        self._blob, self._start, self._end = layout.blob, layout.start, layout.end
        self._size, self._unit = layout.size, layout.unit

    def fetch(self, read: Read, cursor: Cursor | None, read_id: int, source: BlobReader | None = None) -> None:
        """Execute a FETCH: the user's bytes go to `cursor`, admitted chunks to the cache file.

        It is asked of `source`, where one is given.
        """
        cache = self._cache
        rows = read.chunks
        fetch_id = next(self._ids)
        begun = time.monotonic_ns()
        data, received = self._request(rows, read_id, fetch_id, source)
        with cache.changed:
            status = cache.decider.state.status
            there = {row: status[row] in (READY, STORING) for row in rows}
            victims = cache.decider.arrive(read)
            admitted = {row for row in rows if cache.decider.is_mine(read, row, STORING)}
        self.evict(victims)
        self._log_chunks(read, read_id, fetch_id, begun, there, admitted, len(data) - received)
        persisted = self._decode(read, cursor, read_id, fetch_id, data, admitted)
        with cache.changed:
            if persisted:
                self._mark_ready(persisted, read_id, fetch_id)
            if read.reg[Reg.KIND] == PREFETCH:
                cache.counted.prefetched(len(data), time.monotonic_ns() - begun)
            cache.decider.persisted(read)
            cache.changed.notify_all()
        if persisted and cache.dedup is not None:
            cache.dedup.entries.add(persisted)

    def passed_by(self, begun: int, blob: int, offset: int, length: int) -> None:
        """Bytes of a stream were received for nothing."""
        fetch_id = next(self._ids)
        self._cache.log.request(begun, -1, fetch_id, blob, offset, Transfer(length, 0))
        self._cache.log.fetched(begun, -1, fetch_id, blob, -1, (offset, length), Cause.GAP, 0, False)

    def _request(self, rows: range, read_id: int, fetch_id: int, source: BlobReader | None) -> tuple[memoryview, int]:
        """The bytes of chunks, and how many of them came now."""
        blob, start = self._blob[rows.start], self._start[rows.start]
        data = buffer("fetched", self._end[rows[-1]] - start)
        return data, self._read_into(data, blob, start, read_id, fetch_id, source)

    def _read_into(
        self, data: memoryview, blob: int, start: int, read_id: int, fetch_id: int, source: BlobReader | None = None
    ) -> int:
        begun = time.monotonic_ns()
        transfer: Transfer | None = None
        try:
            transfer = (self.readers[blob] if source is None else source).read_into(data, start)
            start += len(data) - transfer.received  # what a stream brought before is not received again
        finally:
            self._cache.log.request(begun, read_id, fetch_id, blob, start, transfer)
        return transfer.received

    def _refetch(self, row: int, base: int, data: memoryview, read_id: int) -> Fetched:
        """Ask once more for what does not verify, as it may have been spoilt on its way; the error of that is final."""
        blob, start, end = self._blob[row], self._start[row], self._end[row]
        begun, fetch_id = time.monotonic_ns(), next(self._ids)
        self._cache.log.retried_chunk(read_id, fetch_id, blob, row)
        self._read_into(data[start - base : end - base], blob, start, read_id, fetch_id)
        self._cache.log.fetched(begun, read_id, fetch_id, blob, row, (start, end - start), Cause.REFETCH, 0, False)
        return self._decoder.open(blob, base, data)

    def _decode(
        self, read: Read, cursor: Cursor | None, read_id: int, fetch_id: int, data: memoryview, admitted: set[int]
    ) -> list[int]:
        """Decode, verify, hand out and write chunk by chunk; returns the chunks written."""
        cache, rows, blob = self._cache, read.chunks, self._blob[read.chunks.start]
        file, base = cache.files[blob], self._start[rows.start]
        fetched = self._decoder.open(blob, base, data)
        begun, decoding, persisting, size = time.monotonic_ns(), 0, 0, 0
        pos, end = read.span.start, read.span.stop
        written: list[int] = []
        put = -1
        for row in rows:
            listed = cursor is not None and pos < end and read.segments.chunk[pos] == row
            wanted = listed and read.segments.offset[pos] >= 0
            pos += listed
            if not wanted and row not in admitted:
                continue
            before = time.monotonic_ns()
            try:
                plain = fetched.chunk(row)
            except StorageError as error:
                if not wanted:
                    self._not_kept(row, read_id, fetch_id)
                    continue
                if not isinstance(error, IntegrityError):
                    raise
                fetched = self._refetch(row, base, data, read_id)
                plain = fetched.chunk(row)
            if wanted and cursor is not None:
                offset = read.segments.offset[pos - 1]
                cursor.put(plain[offset : offset + read.segments.length[pos - 1]])
            decoded = time.monotonic_ns()
            if row in admitted:
                try:
                    whole = None if self._unit[row] == put else data[self._start[row] - base : self._end[row] - base]
                    file.put(row, plain, whole)
                    put = self._unit[row]
                    file.hold(row, plain, fetched)
                    written.append(row)
                except CacheError as error:
                    self._not_kept(row, read_id, fetch_id, error)
            decoding += decoded - before
            persisting += time.monotonic_ns() - decoded
            size += len(plain)
        cache.log.work(Kind.DECODE, begun, decoding, read_id, fetch_id, blob, rows, size)
        cache.log.work(Kind.PERSIST, begun + decoding, persisting, read_id, fetch_id, blob, rows, size)
        return written

    def _mark_ready(self, rows: list[int], read_id: int, fetch_id: int) -> None:
        """Set the bits of chunks of one blob that are written."""
        blob = self._blob[rows[0]]
        bits = [row - self._cache.first_chunk[blob] for row in rows]
        try:
            self._cache.files[blob].map.set_ready(bits)
            self._cache.counted.entries_count += len(rows)
        except CacheError as error:
            for row in rows:
                self._not_kept(row, read_id, fetch_id, error)
            rows.clear()

    def _not_kept(self, row: int, read_id: int, fetch_id: int, refused: CacheError | None = None) -> None:
        """An admitted chunk does not stay: it is no good, or the disk takes no more and reads go through."""
        self._cache.log.failed_chunk(read_id, fetch_id, self._blob[row], row)
        with self._cache.changed:
            self._cache.decider.store_failed(row)
        if refused is not None and not self._refused:
            self._refused = True
            _log.warning("%s; chunks are read through until it can be", refused)

    def evict(self, victims: Sequence[int]) -> None:
        """Punch victims out: first the bits are cleared, then the bytes go."""
        cache = self._cache
        if victims and cache.dedup is not None:
            cache.dedup.entries.forget(victims)
        try:
            for row in victims:
                blob = self._blob[row]
                with cache.changed:
                    cache.files[blob].map.clear(row - cache.first_chunk[blob])
            for row in victims:
                blob = self._blob[row]
                cache.files[blob].remove(row)
                cache.log.evicted(blob, row, self._size[row])
            if self._whole:
                with cache.changed:
                    for row in victims:
                        cache.files[self._blob[row]].remove_shared(row, cache.decider.state.status)
        finally:
            if victims:
                with cache.changed:
                    for row in victims:
                        cache.decider.evicted(row)
                    cache.changed.notify_all()

    def _log_chunks(
        self,
        read: Read,
        read_id: int,
        fetch_id: int,
        begun: int,
        there: dict[int, bool],
        admitted: set[int],
        known: int,
    ) -> None:
        """A row for each chunk, and for each gap between chunks, of a request; its first `known` bytes came before."""
        if self._cache.log.recorder is None:
            return
        pos, end, start, paying = read.span.start, read.span.stop, self._start[read.chunks.start], -1
        blob, unit, expected = self._blob[read.chunks.start], -1, start + known
        log = self._cache.log.fetched
        for row in read.chunks:
            listed = pos < end and read.segments.chunk[pos] == row
            if read.reg[Reg.LISTED] and not listed:
                continue  # part of a gap
            if self._unit[row] != unit:
                unit, paying = self._unit[row], payer(self._layout, read.segments, read.reg, there, row)
                if (gap := self._start[row] - expected) > 0:
                    log(begun, read_id, fetch_id, blob, -1, (expected, gap), Cause.GAP, 0, False)
                start = max(self._start[row], expected)  # pieces of a gzip stream overlap
                expected = max(self._end[row], expected)
            wanted = listed and read.segments.offset[pos] >= 0
            given = read.segments.length[pos] if wanted and read_id >= 0 else 0
            pos += listed
            cause = _cause(read, wanted, there[row])
            dropped = row not in admitted and not there[row]
            length = expected - start if row == paying else 0
            log(begun, read_id, fetch_id, blob, row, (start, length), cause, given, dropped)


def _cause(read: Read, wanted: bool, refetched: bool) -> Cause:
    if read.reg[Reg.KIND] == PREFETCH:
        return Cause.PREFETCH
    if refetched:
        return Cause.REFETCH
    return Cause.DEMAND if wanted else Cause.AMPLIFY
