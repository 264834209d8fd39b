"""A wrapper that puts any backend behind a link of given round trip and bandwidth."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._link import NOW, flow_begin, flow_done, jitter_of, new_link, next_end
from storage.backend._wrapped import WrappedReader
from storage.errors import ConfigError

__all__ = ["Link", "ShapedBackend"]


@dataclass(frozen=True)
class Link:
    """What lies between a reader and a registry.

    Attributes
    ----------
    rtt_ns
        Nanoseconds from a request to its first byte.
    bandwidth
        Bytes a second, shared by all transfers.
    connections
        Requests under way at once; more wait.
    jitter_ns
        Each request's first byte is later by up to this, as `seed` and its number say.
    seed
        Of the jitter.
    """

    rtt_ns: int = 20_000_000
    bandwidth: int = 25_000_000
    connections: int = 8
    jitter_ns: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rtt_ns < 0 or self.jitter_ns < 0:
            raise ConfigError("a round trip cannot take less than no time", field="rtt_ns")
        if not 0 < self.connections <= self.bandwidth:
            raise ConfigError("a link needs a connection, and a byte a second for each", field="connections")


class ShapedBackend:
    """Reads through `inner` as if it lay behind `link`; all its readers share the link."""

    def __init__(self, inner: BlobBackend, link: Link) -> None:
        self.inner = inner
        self.link = link
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(link.connections)
        self._free = list(range(link.connections))
        self._flows = new_link(link.connections, link.bandwidth)
        self._requests = itertools.count()

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob behind the link."""
        return WrappedReader(self.inner.get_reader(blob_id), self.transfer)

    def transfer(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read a range, and take as long over it as the link would."""
        start = time.monotonic_ns()
        with self._slots:
            late = jitter_of(self.link.seed, next(self._requests), self.link.jitter_ns)
            first = time.monotonic_ns() + self.link.rtt_ns + late
            received = reader.read_into(buffer, offset).received
            _sleep_until(first)
            self._carry(first, received)
            return Transfer(received, first - start)

    def _carry(self, first: int, length: int) -> None:
        """Sleep while the bytes flow, together with everybody else's."""
        with self._lock:
            slot = self._free.pop()
            flow_begin(self._flows, max(first, int(self._flows.clock[NOW])), slot, length)
        while True:
            with self._lock:
                if flow_done(self._flows, time.monotonic_ns(), slot):
                    self._free.append(slot)
                    return
                end = int(next_end(self._flows))
            _sleep_until(end)

    def __repr__(self) -> str:
        return f"ShapedBackend({self.inner!r}, {self.link!r})"


def _sleep_until(deadline: int) -> None:
    left = deadline - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
