"""A backend that writes down what it is asked for, and fails when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from storage.backend import BlobBackend, BlobReader, Transfer
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
        return _Reader(self, self._inner.get_reader(blob_id))

    def note(self, blob_id: str, offset: int, length: int) -> None:
        """Write a read down, and fail it if so told."""
        with self._lock:
            self.requests.append((blob_id, offset, length))
        self._before(blob_id, offset, length)


class _Reader:
    def __init__(self, backend: WatchedBackend, inner: BlobReader) -> None:
        self._backend = backend
        self._inner = inner

    @property
    def blob_id(self) -> str:
        return self._inner.blob_id

    def blob_size(self) -> int:
        return self._inner.blob_size()

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        self._backend.note(self.blob_id, offset, len(buffer))
        return self._inner.read_into(buffer, offset)
