"""What the cache logs, and how its rows are filled in. Without a recorder nothing is done."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from storage.backend import Transfer
from storage.events import Cause, Kind, Outcome, Recorder

__all__ = ["Log"]

_READ, _HIT, _WAIT, _FETCH = int(Kind.READ), int(Kind.HIT), int(Kind.WAIT), int(Kind.FETCH)


class Log:
    """Rows of one cache."""

    __slots__ = ("recorder",)

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder

    def read(self, start: int, read_id: int, offset: int, length: int, returned: int) -> None:
        """A user read that ended."""
        if self.recorder is not None:
            self.recorder.log(
                kind=_READ,
                t_ns=start,
                dur_ns=time.monotonic_ns() - start,
                read_id=read_id,
                offset=offset,
                length=length,
                user_bytes=returned,
            )

    def failed_read(self, start: int, read_id: int, error: BaseException, offset: int = 0, length: int = 0) -> None:
        """A user read that failed."""
        if self.recorder is not None:
            duration = time.monotonic_ns() - start
            chunk = _int(error, "chunk")
            self.recorder.log(kind=Kind.FAILURE, t_ns=start, dur_ns=duration, read_id=read_id, chunk=chunk, outcome=1)
            self.recorder.log(
                kind=_READ,
                t_ns=start,
                dur_ns=duration,
                read_id=read_id,
                offset=offset,
                length=length,
                outcome=int(Outcome.ERROR),
            )

    def failed_chunk(self, read_id: int, fetch_id: int, blob: int, chunk: int) -> None:
        """A chunk that was fetched along and is no good."""
        if self.recorder is not None:
            self.recorder.log(kind=Kind.FAILURE, read_id=read_id, fetch_id=fetch_id, blob=blob, chunk=chunk, outcome=1)

    def retried_chunk(self, read_id: int, fetch_id: int, blob: int, chunk: int) -> None:
        """A chunk that is no good, and is fetched again."""
        if self.recorder is not None:
            self.recorder.log(kind=Kind.RETRY, read_id=read_id, fetch_id=fetch_id, blob=blob, chunk=chunk, outcome=1)

    def hit(self, start: int, read_id: int, blob: int, rows: Sequence[int], lengths: Sequence[int]) -> None:
        """Bytes served from the cache at once: a row for each run of neighbouring chunks."""
        if self.recorder is None:
            return
        duration = time.monotonic_ns() - start
        for first, count, size in _runs(rows, lengths):
            self.recorder.log(
                kind=_HIT,
                t_ns=start,
                dur_ns=duration,
                read_id=read_id,
                blob=blob,
                chunk=first,
                chunks=count,
                user_bytes=size,
            )

    def served(
        self,
        start: int,
        read_id: int,
        blob: int,
        rows: Sequence[int],
        lengths: Sequence[int],
        waits: dict[int, tuple[int, int]],
        copies: dict[int, tuple[int, int]],
    ) -> None:
        """Bytes served from the cache: of chunks that were waited for, that were copied for the read, else hits."""
        if self.recorder is None:
            return
        hits = []
        for row, length in zip(rows, lengths, strict=True):
            if row in waits:
                since, duration = waits.pop(row)
                self._wait(since, duration, read_id, row, length)
            elif row in copies:
                self.copied(*copies.pop(row), read_id, blob, row, length)
            else:
                hits.append((row, length))
        if hits:
            self.hit(start, read_id, blob, [row for row, _ in hits], [length for _, length in hits])

    def waits_without_bytes(self, read_id: int, waits: dict[int, tuple[int, int]]) -> None:
        """Waits after which the chunk was not in the cache after all."""
        if self.recorder is not None:
            for row, (since, duration) in waits.items():
                self._wait(since, duration, read_id, row, 0)

    def copied(self, since: int, duration: int, read_id: int, blob: int, row: int, size: int) -> None:
        """A chunk copied from another blob's cache file, and bytes of it for the read."""
        if self.recorder is not None:
            self.recorder.log(
                kind=int(Kind.DEDUP),
                t_ns=since,
                dur_ns=duration,
                read_id=read_id,
                blob=blob,
                chunk=row,
                chunks=1,
                user_bytes=size,
            )

    def _wait(self, since: int, duration: int, read_id: int, row: int, size: int) -> None:
        assert self.recorder is not None
        self.recorder.log(
            kind=_WAIT, t_ns=since, dur_ns=duration, read_id=read_id, chunk=row, chunks=1, user_bytes=size
        )

    def request(
        self, start: int, read_id: int, fetch_id: int, blob: int, offset: int, transfer: Transfer | None
    ) -> None:
        """A range read from the backend; `transfer` is None when it failed: then all of it was waiting for a byte."""
        if self.recorder is not None:
            duration = time.monotonic_ns() - start
            self.recorder.log(
                kind=Kind.REQUEST,
                t_ns=start,
                dur_ns=duration,
                ttfb_ns=transfer.ttfb_ns if transfer else duration,
                read_id=read_id,
                fetch_id=fetch_id,
                blob=blob,
                offset=offset,
                length=transfer.received if transfer else 0,
                outcome=0 if transfer else int(Outcome.ERROR),
            )

    def fetched(
        self,
        start: int,
        read_id: int,
        fetch_id: int,
        blob: int,
        chunk: int,
        span: tuple[int, int],
        cause: Cause,
        user_bytes: int,
        dropped: bool,
    ) -> None:
        """A chunk, or with `chunk` -1 a gap, of a request: its compressed `span` of offset and length."""
        if self.recorder is not None:
            self.recorder.log(
                kind=_FETCH,
                cause=int(cause),
                t_ns=start,
                read_id=read_id,
                fetch_id=fetch_id,
                blob=blob,
                chunk=chunk,
                chunks=int(chunk >= 0),
                offset=span[0],
                length=span[1],
                user_bytes=user_bytes,
                outcome=int(Outcome.DROPPED) if dropped else 0,
            )

    def work(
        self, kind: Kind, start: int, spent: int, read_id: int, fetch_id: int, blob: int, rows: range, size: int
    ) -> None:
        """Decoding or persisting of a whole fetch: nanoseconds `spent` on `size` uncompressed bytes."""
        if self.recorder is not None:
            self.recorder.log(
                kind=int(kind),
                t_ns=start,
                dur_ns=spent,
                read_id=read_id,
                fetch_id=fetch_id,
                blob=blob,
                chunk=rows.start,
                chunks=len(rows),
                length=size,
            )

    def lost(self, read_id: int, blob: int, chunk: int, size: int) -> None:
        """A chunk that was spoilt in the cache file."""
        if self.recorder is not None:
            self.recorder.log(
                kind=Kind.EVICT,
                read_id=read_id,
                blob=blob,
                chunk=chunk,
                chunks=1,
                length=size,
                outcome=int(Outcome.ERROR),
            )

    def evicted(self, blob: int, chunk: int, size: int) -> None:
        """A chunk that made room."""
        if self.recorder is not None:
            self.recorder.log(kind=Kind.EVICT, blob=blob, chunk=chunk, chunks=1, length=size)


def _runs(rows: Sequence[int], lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """First chunk, number and bytes of each run of neighbours."""
    if not len(rows):
        return [(-1, 0, 0)]
    if rows[-1] - rows[0] == len(rows) - 1 and list(rows) == list(range(rows[0], rows[-1] + 1)):
        return [(rows[0], len(rows), sum(lengths))]
    bounds = [0, *(at for at in range(1, len(rows)) if rows[at] != rows[at - 1] + 1), len(rows)]
    return [(rows[at], end - at, sum(lengths[at:end])) for at, end in itertools.pairwise(bounds)]


def _int(error: BaseException, key: str) -> int:
    value = getattr(error, "where", {}).get(key, -1)
    return value if isinstance(value, int) else -1
