"""A wrapper that puts any backend behind a link of given round trip and bandwidth."""

from __future__ import annotations

import threading
import time

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._link import NOW, flow_begin, flow_done, next_change, send, tries_of_next
from storage.backend._shape import Link, new_link
from storage.backend._wrapped import WrappedReader
from storage.errors import BackendError

__all__ = ["ShapedBackend"]


class ShapedBackend:
    """Reads through `inner` as if it lay behind `link`; all its readers share the link."""

    def __init__(self, inner: BlobBackend, link: Link) -> None:
        self.inner = inner
        self.link = link
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(link.connections)
        self._free = list(range(link.connections))
        self._flows = new_link(link)

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob behind the link."""
        return WrappedReader(self.inner.get_reader(blob_id), self.transfer)

    def restart(self) -> None:
        """Forget what was sent: draws begin with the first, and connections are new. Nothing may be under way."""
        with self._lock:
            self._flows = new_link(self.link)

    def transfer(self, reader: BlobReader, buffer: memoryview, offset: int) -> Transfer:
        """Read a range, and take as long over it as the link would.

        Raises
        ------
        BackendError
            If the link refuses every try, or the backend fails.
        """
        start = time.monotonic_ns()
        with self._slots:
            with self._lock:
                slot = min(self._free)
                self._free.remove(slot)
                tries = tries_of_next(self._flows)
                first = send(self._flows, time.monotonic_ns())
            try:
                if tries < 0:
                    _sleep_until(first)
                    raise BackendError(f"the link refused {-tries} tries", blob=reader.blob_id, offset=offset)
                received = reader.read_into(buffer, offset).received
                _sleep_until(first)
                self._carry(first, slot, received)
            finally:
                with self._lock:
                    self._free.append(slot)
            return Transfer(received, first - start)

    def _carry(self, first: int, slot: int, length: int) -> None:
        """Sleep while the bytes flow, together with everybody else's."""
        with self._lock:
            flow_begin(self._flows, max(first, int(self._flows.clock[NOW])), slot, length)
        while True:
            with self._lock:
                if flow_done(self._flows, time.monotonic_ns(), slot):
                    return
                change = next_change(self._flows)
            _sleep_until(change)

    def __repr__(self) -> str:
        return f"ShapedBackend({self.inner!r}, {self.link!r})"


def _sleep_until(deadline: int) -> None:
    left = deadline - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
