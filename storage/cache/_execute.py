"""What a read that is not served at once does: what the decider says, until it is complete."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.backend import BlobReader
from storage.cache._cursor import Cursor, Nowhere
from storage.errors import CacheError, IntegrityError, StorageError
from storage.plan import ABSENT, BLOCKED, COMPLETE, FETCH, PENDING, PREFETCH, READY, SERVE, WAIT, YIELD, Read, Reg

if TYPE_CHECKING:
    from storage.cache._filecache import FileCache

__all__ = ["Executor"]


class Executor:
    """Executes the decisions about a cache's reads, each in the thread that reads.

    Parameters
    ----------
    cache
        Whose lock, decider and files they are.
    known
        Whether each chunk has a digest.
    checked
        Whether what is in the files must be decoded or verified.
    owned
        Whether no other cache adds to the folder.
    patience
        Seconds that a read waits for a chunk in flight before it fetches it itself; None for as long as it takes.
    """

    def __init__(
        self, cache: FileCache, known: Sequence[bool], *, checked: bool, owned: bool, patience: float | None
    ) -> None:
        self._cache = cache
        self._status = cache.decider.state.status
        layout = cache.decider.layout
        self._blob, self._offset, self._start = layout.blob, layout.offset, layout.start
        self._known, self._checked, self._owned, self._patience = known, checked, owned, patience
        self._wrong: set[int] = set()  # chunks that are spoilt, and marked all the same
        self._looked_for = None if owned or all(file.map.keeps for file in cache.files) else bytearray(len(known))

    def run(self, read: Read, cursor: Cursor | None, read_id: int, source: BlobReader | None = None) -> bool:
        """Do what the decider says until the read is complete; what is to be fetched is asked of `source`, if given.

        Returns false if it is a prefetch that was told to stop.
        """
        waits: dict[int, tuple[int, int]] = {}
        copies: dict[int, tuple[int, int]] = {}
        action = 0
        try:
            if not self._owned:
                self._see(read.segments.chunk)
            if self._looked_for is not None:
                self._look_for(read.segments.chunk, self._looked_for)
            if self._cache.dedup is not None:
                copies = self._cache.dedup.adopt(read.segments.chunk)
            while True:
                action = self._advance(read)
                if action == SERVE:
                    assert cursor is not None
                    self._serve(read, cursor, read_id, waits, copies)
                elif action == WAIT:
                    self._wait(read, waits)
                elif action == FETCH:
                    self._fetch(read, cursor, read_id, source)
                elif action == YIELD:
                    if not self._cache.prefetcher.wait_for_users():
                        return False
                else:
                    assert action == COMPLETE
                    return True
        except BaseException:
            self._abandon(read, action)
            raise
        finally:
            self._cache.log.waits_without_bytes(read_id, waits)
            for row, copy in copies.items():
                self._cache.log.copied(*copy, read_id, self._blob[row], row, 0)

    def _advance(self, read: Read) -> int:
        with self._cache.changed:
            was_blocked = read.reg[Reg.BLOCKED] != 0
            action = self._cache.decider.advance(read)
            if read.reg[Reg.KIND] == PREFETCH:
                self._cache.prefetcher.looked()
            if was_blocked and self._cache.decider.state.counters[BLOCKED] == 0:
                self._cache.changed.notify_all()
            return action

    def _fetch(self, read: Read, cursor: Cursor | None, read_id: int, source: BlobReader | None) -> None:
        """Fetch, unless another cache is fetching some of it, or has: then the read looks again."""
        rows = [row for row in read.chunks if self._cache.decider.is_mine(read, row, PENDING)]
        flights = self._cache.flights[self._blob[read.chunks.start]]
        units = {self._start[row] for row in rows}
        free = flights.begin(units)
        try:
            if free and not (flights.users > 1 and self._held(rows)):
                self._cache.fetcher.fetch(read, cursor, read_id, source)
                return
            with self._cache.changed:
                self._cache.decider.stand_back(read)
                self._cache.changed.notify_all()
        finally:
            if free:
                flights.end(units)
        flights.wait(units)
        self._see(rows)

    def _abandon(self, read: Read, action: int) -> None:
        with self._cache.changed:
            if action == SERVE:
                self._cache.decider.served(read)
            self._cache.decider.abandon(read)
            self._cache.changed.notify_all()

    def _serve(
        self,
        read: Read,
        cursor: Cursor,
        read_id: int,
        waits: dict[int, tuple[int, int]],
        copies: dict[int, tuple[int, int]],
    ) -> None:
        if isinstance(cursor, Nowhere):
            with self._cache.changed:
                self._cache.decider.served(read)
            return
        start = time.monotonic_ns()
        span, (rows, offsets, lengths) = read.span, read.segments
        part, ranges = slice(span.start, span.stop), 0
        if self._checked:
            part = slice(span.start, self._copy_checked(read, cursor))
        else:
            ranges = self.copy(rows[part], offsets[part], lengths[part], cursor)
        with self._cache.changed:
            self._cache.counted.partial_hits += ranges
            self._cache.counted.whole_hits += part.stop - part.start if self._checked else 0
            if part.stop == span.stop:
                self._cache.decider.served(read)
            else:
                self._lose(read, part.stop, read_id)
        if part.stop > part.start:
            blob = self._blob[rows[span.start]]
            self._cache.log.served(start, read_id, blob, rows[part], lengths[part], waits, copies)

    def _copy_checked(self, read: Read, cursor: Cursor) -> int:
        """Copy segments out of the cache files, each chunk decoded and verified; the first that could not be."""
        rows, offsets, lengths = read.segments
        pos, stop = read.span.start, read.span.stop
        try:
            while pos < stop:
                plain = self._cache.files[self._blob[rows[pos]]].chunk(rows[pos])
                cursor.put(plain[offsets[pos] : offsets[pos] + lengths[pos]])
                pos += 1
        except (CacheError, IntegrityError):
            return pos
        return stop

    def _lose(self, read: Read, pos: int, read_id: int) -> None:
        """A chunk is not in the cache file as it should be: it is fetched again."""
        row = read.segments.chunk[pos]
        blob = self._blob[row]
        if self._cache.decider.lost(read, pos):
            try:
                self._cache.files[blob].map.clear(row - self._cache.first_chunk[blob])
            except CacheError:
                self._wrong.add(row)
            self._cache.log.lost(read_id, blob, row, self._cache.decider.layout.size[row])
        self._cache.changed.notify_all()

    def _see(self, rows: Sequence[int]) -> None:
        """See what others who have the folder open, for another image, say, have put there since we last looked."""
        if there := self._held([row for row in rows if self._status[row] == ABSENT]):
            with self._cache.changed:
                for row in there:
                    self._cache.decider.found(row)

    def _held(self, rows: Sequence[int]) -> list[int]:
        """Those of the chunks that somebody has marked."""
        there: list[int] = []
        rows = [row for row in rows if row not in self._wrong] if self._wrong else rows
        for blob in {self._blob[row] for row in rows}:
            mine = [row for row in rows if self._blob[row] == blob]
            first, low = self._cache.first_chunk[blob], min(mine)
            held = self._cache.files[blob].map.held(low - first, max(mine) + 1 - first)
            there += [row for row in mine if held[row - low]]
        return there

    def _look_for(self, rows: Sequence[int], tried: bytearray) -> None:
        """Find chunks in the cache file that a map which forgets cannot tell of; each is looked for once."""
        for row in rows:
            blob = self._blob[row]
            if tried[row] or self._cache.files[blob].map.keeps:
                continue
            tried[row] = 1
            if self._status[row] == ABSENT and self._known[row] and self._cache.files[blob].fd >= 0:
                with contextlib.suppress(StorageError):
                    self._cache.files[blob].check(row)
                    with self._cache.changed:
                        if self._cache.decider.found(row):
                            self._cache.counted.whole_hits += 1
                            self._cache.counted.entries_count += 1
                            self._cache.files[blob].map.set_ready([row - self._cache.first_chunk[blob]])

    def _wait(self, read: Read, waits: dict[int, tuple[int, int]]) -> None:
        """Wait until the chunk that the read wants is no longer in flight, then let it look again."""
        chunk, wanted = read.reg[Reg.WAITING], read.reg[Reg.WANTED]
        start = time.monotonic_ns()
        with self._cache.changed:
            if not self._cache.changed.wait_for(lambda: self._status[chunk] in (0, READY), self._patience):
                self._cache.decider.give_up_wait(read)
        since, before = waits.get(wanted, (start, 0))
        waits[wanted] = (since, before + time.monotonic_ns() - start)

    def copy(self, rows: Sequence[int], offsets: Sequence[int], lengths: Sequence[int], cursor: Cursor) -> int:
        """Copy segments out of the cache files, neighbours at once; in how many ranges."""
        index = ranges = 0
        while index < len(rows):
            blob = self._blob[rows[index]]
            start = end = self._offset[rows[index]] + offsets[index]
            while index < len(rows) and self._offset[rows[index]] + offsets[index] == end:
                if self._blob[rows[index]] != blob:
                    break
                end += lengths[index]
                index += 1
            self._cache.files[blob].read(cursor.take(end - start), start)
            ranges += 1
        return ranges
