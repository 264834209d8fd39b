"""Chunks as the backend has them, at their place in its blob: ``<blob>.blob.raw``."""

from __future__ import annotations

from storage.cache.stores._base import BlobFile
from storage.codec import buffer, recall, remember
from storage.image.decode import Fetched

__all__ = ["RawFile"]


class RawFile(BlobFile):
    """Stored bytes, whole units of them, decoded when they are read. See `BlobFile`."""

    is_plain = False

    @property
    def gives_back(self) -> bool:  # type: ignore[override]
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
