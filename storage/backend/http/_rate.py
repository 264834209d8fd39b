"""Requests a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from storage.backend._source import RequestSource

__all__ = ["RateLimit"]


class RateLimit:
    """A token bucket that holds a second's worth; prefetch takes only what users leave.

    Parameters
    ----------
    per_second
        Tokens that come in a second; 0 for no limit.
    """

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._capacity = max(per_second, 1.0)
        self._tokens = self._capacity
        self._filled = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, source: RequestSource, sleep: Callable[[float], object] = time.sleep) -> None:
        """Return when a request may start."""
        if self._rate <= 0:
            return
        if source == RequestSource.ON_DEMAND:
            sleep(self._reserve())
            return
        while (late := self._take()) > 0:
            sleep(late)

    def _reserve(self) -> float:
        """Take a token, though it be one that is still to come; how long until then."""
        with self._lock:
            self._fill()
            self._tokens -= 1
            return max(-self._tokens / self._rate, 0.0)

    def _take(self) -> float:
        """Take a token that is there; else how long to wait before looking again."""
        with self._lock:
            self._fill()
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / self._rate

    def _fill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._capacity)
        self._filled = now
