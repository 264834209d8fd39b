"""A wrapper that holds prefetch to so many bytes a second."""

from __future__ import annotations

import threading
import time

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._source import RequestSource, request_source
from storage.backend._wrapped import WrappedReader

__all__ = ["ThrottledBackend"]


class ThrottledBackend:
    """Reads through `inner`; requests made within `prefetching` wait for their turn, users never.

    Parameters
    ----------
    inner
        Where blobs come from.
    bytes_per_second
        Of all prefetch together, on average: a request begins when those before it are paid for.
    """

    def __init__(self, inner: BlobBackend, bytes_per_second: int) -> None:
        self.inner = inner
        self.bytes_per_second = bytes_per_second
        self._paid_until = 0.0
        self._lock = threading.Lock()

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob that is held back when it prefetches."""
        return WrappedReader(self.inner.get_reader(blob_id), self._read)

    def _read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        if request_source() == RequestSource.PREFETCH:
            with self._lock:
                begin = max(self._paid_until, time.monotonic())
                self._paid_until = begin + len(buffer) / self.bytes_per_second
            time.sleep(max(begin - time.monotonic(), 0))
        return reader.read_into(buffer, offset)

    def __repr__(self) -> str:
        return f"ThrottledBackend({self.inner!r}, {self.bytes_per_second:,} bytes/s)"
