"""A backend that writes down what it is asked for, and fails when told to."""

from __future__ import annotations

from collections.abc import Callable

from storage.backend import BlobBackend, BlobReader, RecordingBackend, Transfer
from storage.errors import BackendError

__all__ = ["WatchedBackend", "refuse"]


def refuse(blob_id: str, offset: int, length: int) -> None:
    """Fail every request: what is done before each read.

    Raises
    ------
    BackendError
        Always.
    """
    raise BackendError("the backend was asked", blob=blob_id, offset=offset)


class WatchedBackend(RecordingBackend):
    """A recording of which only what was asked counts.

    Parameters
    ----------
    inner, before
        See `RecordingBackend`.
    """

    def __init__(self, inner: BlobBackend, before: Callable[[str, int, int], object] | None = None) -> None:
        super().__init__(inner, before)
        self._asked: list[tuple[str, int, int]] = []

    def _read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        self._asked.append((reader.blob_id, offset, len(buffer)))
        return super()._read(reader, buffer, offset)

    @property
    def requests(self) -> list[tuple[str, int, int]]:  # type: ignore[override]
        """Blob id, offset and length of every read, failed ones included, in order; may be emptied."""
        return self._asked
