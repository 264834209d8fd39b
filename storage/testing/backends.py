"""A backend that writes down what it is asked for, and fails when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from storage.backend import BlobBackend, BlobReader, Transfer, WrappedReader
from storage.errors import BackendError

__all__ = ["WatchedBackend", "refuse"]


def refuse(blob_id: str, offset: int, length: int) -> None:
    """Fail every request.

    Raises
    ------
    BackendError
        Always.
    """
    raise BackendError("the backend was asked", blob=blob_id, offset=offset)


def _allow(blob_id: str, offset: int, length: int) -> None:
    pass


class WatchedBackend:
    """Reads through `inner`.

    Parameters
    ----------
    inner
        Where blobs come from.
    before
        Called before each read with blob id, offset and length, in the thread that reads; what it
        raises is the read's failure.

    Attributes
    ----------
    requests
        Blob id, offset and length of every read, failed ones included, in order.
    """

    def __init__(self, inner: BlobBackend, before: Callable[[str, int, int], None] = _allow) -> None:
        self.requests: list[tuple[str, int, int]] = []
        self._inner = inner
        self._before = before
        self._lock = threading.Lock()

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob that is watched."""
        return WrappedReader(self._inner.get_reader(blob_id), self._read)

    def _read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        asked = (reader.blob_id, offset, len(buffer))
        with self._lock:
            self.requests.append(asked)
        self._before(*asked)
        return reader.read_into(buffer, offset)
