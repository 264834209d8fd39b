"""Chunks as the backend has them, at their place in its blob: ``<blob>.blob.raw``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from storage.cache.stores._base import BlobFile
from storage.codec import buffer

__all__ = ["RawFile"]


class RawFile(BlobFile):
    """Stored bytes, whole units of them, decoded each time they are read. See `BlobFile`."""

    is_plain = False

    @property
    def gives_back(self) -> bool:  # type: ignore[override]
        """Whether no chunks are stored together."""
        return all(self._source.layout.unit[row] == row for row in self._source.rows)

    def put(self, row: int, plain: memoryview, stored: memoryview | None) -> None:
        if stored is not None:
            self.write(stored, self._source.layout.start[row])

    def chunks(self, rows: Sequence[int]) -> Iterator[memoryview]:
        layout, decoder, blob = self._source.layout, self._source.decoder, self._source.info.blob_index
        unit, fetched = -1, decoder.open(blob, 0, memoryview(b""))
        for row in rows:
            if layout.unit[row] != unit:
                unit, start = layout.unit[row], layout.start[row]
                stored = buffer("cached", layout.end[row] - start)
                self.read([stored], start)
                fetched = decoder.open(blob, start, stored)
            yield fetched.chunk(row)

    def place(self, row: int) -> tuple[int, int]:
        start = self._source.layout.start[row]
        return start, self._source.layout.end[row] - start
