"""No cache: what is read comes from the backend, each time, and is verified.

Source: nydus ``storage/src/cache/dummycache.rs``. There, blobs with zran or batch chunks cannot
be read in this way; here they can.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from storage.backend import BlobReader, Transfer
from storage.cache._cursor import Cursor
from storage.cache._log import Log
from storage.codec import buffer
from storage.device import BlobInfo, Buffer
from storage.errors import IntegrityError, UnsupportedError
from storage.events import Cause, Kind, Recorder
from storage.image.decode import Decoder, Fetched
from storage.image.tables import Chunks
from storage.plan import Options, Reg, Segments, new_registers, next_request, plan_layout, views

__all__ = ["DummyCache"]


class DummyCache:
    """Reads blobs without keeping anything; safe to use from several threads.

    Neighbouring chunks of one read are one request under plan `exact`, under plan `reference` each
    chunk is its own, as in nydusd. Nothing is widened, as what is fetched along would be lost.

    Parameters
    ----------
    infos, chunks
        The image's blobs and chunk table.
    readers
        A reader of each blob, in the order of `infos`.
    options
        See `storage.plan.plan_options`.
    recorder
        Where events go.
    """

    def __init__(
        self,
        infos: Sequence[BlobInfo],
        chunks: Chunks,
        readers: Sequence[BlobReader],
        options: Options,
        recorder: Recorder | None = None,
    ) -> None:
        self.log = Log(recorder)
        self._layout = views(plan_layout(chunks))
        self._decoder = Decoder(infos, chunks)
        self._readers = readers
        self._options = options
        self._reads = itertools.count()
        # The first ones are those of the blobs' blob.meta.
        self._ids = itertools.count(len(infos))

    def read(
        self,
        rows: Sequence[int],
        offsets: Sequence[int],
        lengths: Sequence[int],
        buffers: Sequence[Buffer],
        read_id: int | None = None,
    ) -> int:
        """Fill `buffers` with bytes of chunks; see `BlobDevice.read_to`."""
        size = sum(lengths)
        cursor, segments = Cursor(buffers, size), Segments(rows, offsets, lengths)
        if read_id is not None:
            self._read(segments, cursor, read_id)
            return size
        start = time.monotonic_ns()
        read_id = self.new_read_id()
        try:
            self._read(segments, cursor, read_id)
        except BaseException as error:
            self.log.failed_read(start, read_id, error)
            raise
        self.log.read(start, read_id, 0, size, size)
        return size

    def _read(self, segments: Segments, cursor: Cursor, read_id: int) -> None:
        reg = new_registers(0, len(segments.chunk))
        while reg[Reg.POS] < reg[Reg.END]:
            next_request(self._layout, self._options, segments, reg)
            self._fetch(segments, reg, cursor, read_id)
            reg[Reg.POS] = reg[Reg.SPAN]

    def _fetch(self, segments: Segments, reg: Sequence[int], cursor: Cursor, read_id: int) -> None:
        layout, span = self._layout, range(reg[Reg.POS], reg[Reg.SPAN])
        rows, fetch_id, begun = range(reg[Reg.FIRST], reg[Reg.LAST] + 1), next(self._ids), time.monotonic_ns()
        blob, start = layout.blob[rows.start], layout.start[rows.start]
        data = buffer("fetched", layout.end[rows[-1]] - start)
        self._request(data, blob, start, read_id, fetch_id)
        self._log_chunks(segments, span, begun, read_id, fetch_id)
        decoding, fetched = time.monotonic_ns(), self._decoder.open(blob, start, data)
        size = 0
        for pos in span:
            row, offset = segments.chunk[pos], segments.offset[pos]
            try:
                plain = fetched.chunk(row)
            except IntegrityError:
                fetched = self._refetch(row, start, data, read_id)
                plain = fetched.chunk(row)
            cursor.put(plain[offset : offset + segments.length[pos]])
            size += len(plain)
        spent = time.monotonic_ns() - decoding
        self.log.work(Kind.DECODE, decoding, spent, read_id, fetch_id, blob, rows, size)

    def _request(self, data: memoryview, blob: int, start: int, read_id: int, fetch_id: int) -> None:
        begun = time.monotonic_ns()
        transfer: Transfer | None = None
        try:
            transfer = self._readers[blob].read_into(data, start)
        finally:
            self.log.request(begun, read_id, fetch_id, blob, start, transfer)

    def _refetch(self, row: int, base: int, data: memoryview, read_id: int) -> Fetched:
        """Ask once more for what does not verify, as it may have been spoilt on its way; the error of that is final."""
        blob, start, end = self._layout.blob[row], self._layout.start[row], self._layout.end[row]
        begun, fetch_id = time.monotonic_ns(), next(self._ids)
        self.log.retried_chunk(read_id, fetch_id, blob, row)
        self._request(data[start - base : end - base], blob, start, read_id, fetch_id)
        self.log.fetched(begun, read_id, fetch_id, blob, row, (start, end - start), Cause.REFETCH, 0, True)
        return self._decoder.open(blob, base, data)

    def _log_chunks(self, segments: Segments, span: range, begun: int, read_id: int, fetch_id: int) -> None:
        """A row for each chunk, and for each gap between units, of a request."""
        if self.log.recorder is None:
            return
        layout, expected, unit = self._layout, -1, -1
        for pos in span:
            row = segments.chunk[pos]
            blob, start, size = layout.blob[row], layout.start[row], 0
            if layout.unit[row] != unit:
                if 0 <= expected < start:
                    gap = (expected, start - expected)
                    self.log.fetched(begun, read_id, fetch_id, blob, -1, gap, Cause.GAP, 0, False)
                unit, expected, size = layout.unit[row], layout.end[row], layout.end[row] - start
            given = segments.length[pos]
            self.log.fetched(begun, read_id, fetch_id, blob, row, (start, size), Cause.DEMAND, given, True)

    def new_read_id(self) -> int:
        """An id for a user read that is made of several."""
        return next(self._reads)

    @property
    def stored(self) -> int:
        """No bytes."""
        return 0

    def is_ready(self, rows: Sequence[int]) -> bool:
        """Whether these are no chunks at all."""
        return len(rows) == 0

    def fetch(self, rows: Sequence[int], ahead: bool = False) -> None:
        """Refuse: there is no place for it.

        Raises
        ------
        UnsupportedError
            Always.
        """
        raise UnsupportedError("nothing is kept without a cache", field="cache.type")

    def prefetch(self, rows: Sequence[int]) -> None:
        """Nothing: there is no place for what would be fetched."""

    def prefetch_streams(self) -> None:
        """Nothing, for the same reason."""

    def start_prefetch(self) -> None:
        """Nothing that was stopped."""

    def stop_prefetch(self) -> None:
        """Nothing that was started."""

    def drain(self) -> None:
        """Nothing is ever under way in the background."""

    def close(self) -> None:
        """Nothing is open."""
