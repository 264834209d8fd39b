"""A wrapper that writes down what is read through it: as metrics, and request by request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._wrapped import WrappedReader
from storage.errors import BackendError

__all__ = ["RecordedRequest", "RecordingBackend"]


class RecordedRequest(NamedTuple):
    """One range that was asked for.

    Attributes
    ----------
    blob_id, offset, length
        What was asked.
    t_ns, ttfb_ns, dur_ns
        When, on the monotonic clock; how long until the first byte; how long in all, -1 while it is under way.
    error
        What went wrong; empty when nothing did.
    """

    blob_id: str
    offset: int
    length: int
    t_ns: int
    ttfb_ns: int
    dur_ns: int
    error: str


class RecordingBackend:
    """Reads through `inner` and remembers every request, failed ones included, in the order in which they began.

    Parameters
    ----------
    inner
        Where blobs come from.
    before
        Called before each read with blob id, offset and length, in the thread that reads; what it raises is the
        read's failure.

    Examples
    --------
    >>> recording = RecordingBackend(LocalFs("blobs"))
    >>> with open_store(image, cache_dir="cache", backend=recording) as rafs:
    ...     rafs.read("/a")
    >>> recording.table().to_pandas().groupby("blob_id")["length"].sum()
    """

    def __init__(self, inner: BlobBackend, before: Callable[[str, int, int], object] | None = None) -> None:
        self.inner = inner
        self._before = before
        self._requests: list[RecordedRequest] = []
        self._lock = threading.Lock()

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob that writes down what it reads."""
        return WrappedReader(self.inner.get_reader(blob_id), self._read)

    def _read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        start, transfer, failure = time.monotonic_ns(), Transfer(0, 0), ""
        request = RecordedRequest(reader.blob_id, offset, len(buffer), start, 0, -1, "")
        with self._lock:
            kept, number = self._requests, len(self._requests)
            kept.append(request)
        try:
            if self._before is not None:
                self._before(reader.blob_id, offset, len(buffer))
            transfer = reader.read_into(buffer, offset)
        except BackendError as error:
            failure = str(error)
            raise
        finally:
            spent = time.monotonic_ns() - start
            kept[number] = request._replace(ttfb_ns=transfer.ttfb_ns, dur_ns=spent, error=failure)
        return transfer

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests so far."""
        with self._lock:
            return list(self._requests)

    def table(self) -> pa.Table:
        """All requests so far: a column for each field of `RecordedRequest`."""
        columns = list(zip(*self.requests, strict=True)) or [()] * len(RecordedRequest._fields)
        return pa.table(dict(zip(RecordedRequest._fields, columns, strict=True)), schema=_SCHEMA)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._requests = []

    def __repr__(self) -> str:
        return f"RecordingBackend({self.inner!r})"


_SCHEMA = pa.schema(
    [("blob_id", pa.string())]
    + [(name, pa.int64()) for name in ("offset", "length", "t_ns", "ttfb_ns", "dur_ns")]
    + [("error", pa.string())]
)
