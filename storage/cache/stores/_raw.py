"""Chunks as the backend has them, at their place in its blob: ``<blob>.blob.raw``."""

from __future__ import annotations

from collections.abc import Sequence

from storage.cache.stores._base import BlobFile
from storage.codec import buffer, recall, remember
from storage.image.decode import Fetched
from storage.image.tables import ZRAN
from storage.plan import READY, STORING, unit_last

__all__ = ["RawFile"]


class RawFile(BlobFile):
    """Stored bytes, whole units of them, decoded when they are read. See `BlobFile`."""

    is_plain = False

    @property
    def parts(self) -> bool:  # type: ignore[override]
        """Whether no chunks are stored together."""
        return all(self._source.layout.unit[row] == row for row in self._source.rows)

    def put(self, row: int, plain: memoryview, stored: memoryview | None) -> None:
        if stored is not None:
            self.write(stored, self._source.layout.start[row])

    def chunk(self, row: int) -> memoryview:
        layout = self._source.layout
        unit: Fetched | None = recall(key := (self._name, layout.unit[row]))
        if unit is None:
            start = layout.start[row]
            stored = buffer("cached", layout.end[row] - start)
            self.read([stored], start)
            unit = self._source.decoder.open(self._source.info.blob_index, start, stored)
        plain = unit.chunk(row)
        remember(key, unit)
        return plain

    def hold(self, row: int, plain: memoryview, unit: Fetched) -> None:
        remember((self._name, self._source.layout.unit[row]), unit)

    def place(self, row: int) -> tuple[int, int]:
        start = self._source.layout.start[row]
        return start, self._source.layout.end[row] - start

    def remove(self, row: int) -> None:
        """Give the space of a chunk's unit back, but for what a piece of a gzip stream shares with its neighbours."""
        start, end = self._span(row)
        for other in self._neighbours(row):
            if other < row:
                start = max(start, self._span(other)[1])
            else:
                end = min(end, self._span(other)[0])
        if end > start:
            self.punch(start, end - start)

    def remove_shared(self, row: int, status: Sequence[int]) -> None:
        start, end = self._span(row)
        for other in self._neighbours(row):
            chunks = range(self._source.layout.unit[other], unit_last(self._source.layout, other) + 1)
            shared = max(start, self._span(other)[0]), min(end, self._span(other)[1])
            if shared[1] > shared[0] and not any(status[chunk] in (STORING, READY) for chunk in chunks):
                self.punch(shared[0], shared[1] - shared[0])

    def _span(self, row: int) -> tuple[int, int]:
        return self._source.layout.start[row], self._source.layout.end[row]

    def _neighbours(self, row: int) -> list[int]:
        """Chunks of the pieces before and after a chunk's."""
        layout, rows = self._source.layout, self._source.rows
        if layout.kind[row] != ZRAN:
            return []
        return [other for other in (layout.unit[row] - 1, unit_last(layout, row) + 1) if other in rows]
