"""Fetching a range: from the backend, through decoding and verification, to the cache file and the user."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.backend import BlobReader, Transfer
from storage.codec import Digester, buffer, crc32c, decompress_into, digest
from storage.device import BlobInfo
from storage.errors import FormatError, IntegrityError, StorageError
from storage.events import Cause, Kind
from storage.image.tables import Chunks
from storage.plan import PREFETCH, READY, STORING, Read, Reg

if TYPE_CHECKING:
    from storage.cache._cursor import Cursor
    from storage.cache._filecache import FileCache

__all__ = ["Fetcher"]


class Fetcher:
    """Does the fetches of a cache, each in the thread that asked for it."""

    def __init__(
        self, cache: FileCache, infos: Sequence[BlobInfo], chunks: Chunks, readers: Sequence[BlobReader]
    ) -> None:
        self._cache = cache
        self._infos = infos
        self._chunks = chunks
        self._readers = readers
        # The first ones are those of the blobs' blob.meta.
        self._ids = itertools.count(len(infos))
        layout = cache.decider.layout
        self._blob, self._start, self._end = layout.blob, layout.start, layout.end
        self._offset, self._size = layout.offset, layout.size

    def fetch(self, read: Read, cursor: Cursor | None, read_id: int) -> None:
        """Execute a FETCH: the user's bytes go to `cursor`, admitted chunks to the cache file."""
        cache = self._cache
        rows = read.chunks
        fetch_id = next(self._ids)
        begun = time.monotonic_ns()
        data = self._request(rows, read_id, fetch_id)
        with cache.changed:
            refetched = {row for row in rows if cache.decider.state.status[row] in (READY, STORING)}
            victims = cache.decider.arrive(read)
            admitted = {row for row in rows if cache.decider.is_mine(read, row, STORING)}
        self.evict(victims)
        self._log_chunks(read, read_id, fetch_id, begun, refetched, admitted)
        persisted = self._decode(read, cursor, read_id, fetch_id, data, admitted)
        with cache.changed:
            if persisted:
                first = cache.first_chunk[self._blob[rows.start]]
                bits = [row - first for row in persisted]
                cache.files[self._blob[rows.start]].map.set_ready(bits[0], bits[-1], bits)
            cache.decider.persisted(read)
            cache.changed.notify_all()

    def _request(self, rows: range, read_id: int, fetch_id: int) -> memoryview:
        blob, start = self._blob[rows.start], self._start[rows.start]
        data = buffer("fetched", self._end[rows[-1]] - start)
        begun = time.monotonic_ns()
        transfer: Transfer | None = None
        try:
            transfer = self._readers[blob].read_into(data, start)
        finally:
            self._cache.log.request(begun, read_id, fetch_id, blob, start, len(data), transfer)
        return data

    def _decode(
        self, read: Read, cursor: Cursor | None, read_id: int, fetch_id: int, data: memoryview, admitted: set[int]
    ) -> list[int]:
        """Decode, verify, hand out and write chunk by chunk; returns the chunks written."""
        cache, rows, blob = self._cache, read.chunks, self._blob[read.chunks.start]
        file, base = cache.files[blob], self._start[rows.start]
        begun, decoding, persisting, size = time.monotonic_ns(), 0, 0, 0
        pos, end = read.span.start, read.span.stop
        written: list[int] = []
        for row in rows:
            listed = cursor is not None and pos < end and read.segments.chunk[pos] == row
            wanted = listed and read.segments.offset[pos] >= 0
            pos += listed
            if not wanted and row not in admitted:
                continue
            before = time.monotonic_ns()
            try:
                plain = self._plain(row, data[self._start[row] - base : self._end[row] - base])
            except StorageError:
                if wanted:
                    raise
                cache.log.failed_chunk(read_id, fetch_id, blob, row)
                with cache.changed:
                    cache.decider.store_failed(row)
                continue
            if wanted and cursor is not None:
                offset = read.segments.offset[pos - 1]
                cursor.put(plain[offset : offset + read.segments.length[pos - 1]])
            decoded = time.monotonic_ns()
            if row in admitted:
                file.write(plain, self._offset[row])
                written.append(row)
            decoding += decoded - before
            persisting += time.monotonic_ns() - decoded
            size += len(plain)
        cache.log.work(Kind.DECODE, begun, decoding, read_id, fetch_id, blob, rows, size)
        cache.log.work(Kind.PERSIST, begun + decoding, persisting, read_id, fetch_id, blob, rows, size)
        return written

    def _plain(self, row: int, stored: memoryview) -> memoryview:
        """A chunk's bytes, decompressed and verified; valid until the next call in this thread.

        Raises
        ------
        IntegrityError
            If they are not what the image says.
        """
        info = self._infos[self._blob[row]]
        plain = stored
        if self._chunks.compressed[row]:
            plain = buffer("decoded", self._size[row])
            try:
                decompress_into(info.compressor, stored, plain)
            except FormatError as error:
                raise IntegrityError(error.message, **self._where(row)) from error
        if not self._verify(row, info.digester, plain):
            raise IntegrityError("a chunk is not what its digest says", **self._where(row))
        return plain

    def _verify(self, row: int, digester: Digester, plain: memoryview) -> bool:
        """Whether the bytes match all that is known of the chunk; the decider admits none of which nothing is."""
        if self._chunks.has_crc32c[row] and crc32c(plain) != self._chunks.crc32c[row]:
            return False
        return not self._chunks.has_digest[row] or digest(digester, plain) == self._chunks.digest[row].tobytes()

    def _where(self, row: int) -> dict[str, object]:
        blob = self._blob[row]
        index = row - self._cache.first_chunk[blob]
        return {"blob": self._infos[blob].blob_id, "chunk": index, "offset": self._start[row]}

    def evict(self, victims: Sequence[int]) -> None:
        """Punch victims out: first the bit is cleared, then the bytes go."""
        cache = self._cache
        try:
            for row in victims:
                blob = self._blob[row]
                with cache.changed:
                    cache.files[blob].map.clear(row - cache.first_chunk[blob])
                cache.files[blob].punch(self._offset[row], self._size[row])
                cache.log.evicted(blob, row, self._size[row])
        finally:
            if victims:
                with cache.changed:
                    for row in victims:
                        cache.decider.evicted(row)
                    cache.changed.notify_all()

    def _log_chunks(
        self, read: Read, read_id: int, fetch_id: int, begun: int, refetched: set[int], admitted: set[int]
    ) -> None:
        """A row for each chunk, and for each gap between chunks, of a request."""
        if self._cache.log.recorder is None:
            return
        pos, end, expected = read.span.start, read.span.stop, self._start[read.chunks.start]
        blob = self._blob[read.chunks.start]
        log = self._cache.log.fetched
        for row in read.chunks:
            start, length = self._start[row], self._end[row] - self._start[row]
            listed = pos < end and read.segments.chunk[pos] == row
            if read.reg[Reg.LISTED] and not listed:
                continue  # part of a gap
            if start > expected:
                log(begun, read_id, fetch_id, blob, -1, (expected, start - expected), Cause.GAP, 0, False)
            wanted = listed and read.segments.offset[pos] >= 0
            given = read.segments.length[pos] if wanted and read_id >= 0 else 0
            pos += listed
            cause = _cause(read, wanted, row in refetched)
            dropped = row not in admitted and row not in refetched
            log(begun, read_id, fetch_id, blob, row, (start, length), cause, given, dropped)
            expected = start + length


def _cause(read: Read, wanted: bool, refetched: bool) -> Cause:
    if read.reg[Reg.KIND] == PREFETCH:
        return Cause.PREFETCH
    if refetched:
        return Cause.REFETCH
    return Cause.DEMAND if wanted else Cause.AMPLIFY


