"""What a backend counts."""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["Metrics"]


class Metrics:
    """Counters of one backend. Any thread may count.

    Their names: ``requests`` (exchanges), ``bytes`` (of bodies read into buffers), ``errors`` (failures that
    were raised), ``retries``, ``redirects``, ``challenges`` (401), ``connections`` (opened), ``waits`` (for a
    connection), ``tokens`` (fetched), ``whole`` (blobs downloaded whole), ``fallbacks`` (from proxy or mirror),
    ``ns`` (spent in exchanges), and ``prefetch`` (those of the requests that were prefetch).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name] += by

    def exchanged(self, nanoseconds: int, prefetch: bool) -> None:
        """One exchange took so long."""
        with self._lock:
            self._counts["requests"] += 1
            self._counts["ns"] += nanoseconds
            self._counts["prefetch"] += prefetch

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """All counters, by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def __repr__(self) -> str:
        return f"Metrics({self.snapshot()})"
