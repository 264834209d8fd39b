"""Where an image's blobs are, if not in a folder: anything that has readers of them, a backend say."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

__all__ = ["BlobSource", "SourceReader", "save_blob"]

_PIECE = 4 << 20


class SourceReader(Protocol):
    """One blob; see `storage.backend.BlobReader`."""

    def blob_size(self) -> int:
        """Its bytes."""

    def read_into(self, buffer: memoryview, offset: int) -> object:
        """Fill `buffer` from `offset` on, whole."""


class BlobSource(Protocol):
    """Blobs by id; every `storage.backend.BlobBackend` is one."""

    def get_reader(self, blob_id: str) -> SourceReader:
        """A reader of the blob."""


def save_blob(source: BlobSource, blob_id: str, path: Path) -> None:
    """Write a blob to a file, which has its name once it is whole."""
    reader, partial = source.get_reader(blob_id), path.with_name(f".partial-{path.name}")
    size, buffer = reader.blob_size(), memoryview(bytearray(_PIECE))
    try:
        with partial.open("wb") as file:
            for offset in range(0, size, _PIECE):
                piece = buffer[: min(_PIECE, size - offset)]
                reader.read_into(piece, offset)
                file.write(piece)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
