"""A wrapper that counts what is read through it, as nydusd counts (upstream: utils/src/metrics.rs)."""

from __future__ import annotations

import threading
import time
from typing import Any

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._metrics_table import metrics_html
from storage.backend._routed import RoutedBackend
from storage.backend._wrapped import WrappedReader
from storage.metrics import millis_class, size_class

__all__ = ["MeteredBackend", "meters_of"]

_CLASSES = 8


class MeteredBackend:
    """Reads through `inner` and counts requests, errors, bytes and milliseconds.

    Parameters
    ----------
    inner
        Where blobs come from.
    backend_type
        What it is called in the metrics.
    """

    def __init__(self, inner: BlobBackend, backend_type: str = "") -> None:
        self.inner = inner
        self.backend_type = backend_type
        self._lock = threading.Lock()
        self._errors = self._amount = self._millis = 0
        self._millis_by_size = [0] * _CLASSES
        self._counts = [[0] * _CLASSES for _ in range(_CLASSES)]  # by size, then by latency

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob whose reads count."""
        return WrappedReader(self.inner.get_reader(blob_id), self._read)

    def _read(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        start, received = time.monotonic_ns(), -1
        try:
            transfer = reader.read_into(buffer, offset)
            received = transfer.received
        finally:
            self._count((time.monotonic_ns() - start) // 1_000_000, received)
        return transfer

    def _count(self, millis: int, received: int) -> None:
        size = max(received, 0)
        by_size = size_class(size)
        with self._lock:
            self._errors += received < 0
            self._amount += size
            self._millis += millis
            self._millis_by_size[by_size] += millis
            self._counts[by_size][millis_class(millis)] += 1

    def close(self) -> None:
        """Close what keeps connections."""
        if (close := getattr(self.inner, "close", None)) is not None:
            close()

    @property
    def counters(self) -> dict[str, int]:
        """What the backend counts besides, by name: of one over HTTP, those of `storage.backend.http.Metrics`."""
        client = getattr(self.inner, "client", None)
        return client.metrics.snapshot() if client is not None else {}

    def metrics(self) -> dict[str, Any]:
        """What nydusd answers at ``/api/v1/metrics/backend``, key for key."""
        with self._lock:
            by_size = [sum(row) for row in self._counts]
            return {
                "backend_type": self.backend_type,
                "read_count": sum(by_size),
                "read_errors": self._errors,
                "read_amount_total": self._amount,
                "read_cumulative_latency_millis_total": self._millis,
                "read_cumulative_latency_millis_dist": list(self._millis_by_size),
                "read_count_block_size_dist": by_size,
                "read_latency_sizes_dist": [list(row) for row in self._counts],
            }

    def _repr_html_(self) -> str:
        return metrics_html([self])

    def __repr__(self) -> str:
        return f"MeteredBackend({self.inner!r})"


def meters_of(backend: BlobBackend) -> list[MeteredBackend]:
    """What meters there are in a backend, wrapped in whatever."""
    if isinstance(backend, MeteredBackend):
        return [backend]
    if isinstance(backend, RoutedBackend):
        return [meter for one in backend.backends for meter in meters_of(one)]
    inner = getattr(backend, "inner", None)
    return [] if inner is None else meters_of(inner)
