"""What the caches of one process share of a blob in a folder: which of its units are being fetched.

Each image has a cache of its own, with its own chunk table and decider; those whose images have a blob in common,
and which keep it in one folder, fetch none of its units at the same time, and find what the others have stored.

Source: nydus ``storage/src/factory.rs``, where images share the blob's cache itself.
"""

from __future__ import annotations

import threading
from collections.abc import Set

__all__ = ["Flights", "forget_flights", "land", "share_flights"]

_lock = threading.Lock()
_shared: dict[tuple[str, str], Flights] = {}


class Flights:
    """Units of one blob in flight, named by where they begin in it.

    Attributes
    ----------
    users
        How many caches share it.
    digests
        Of the chunks that are ready, under maps that are nowhere but in memory.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun: set[int] = set()
        self.users = 0
        self.digests: set[bytes] = set()

    def begin(self, units: Set[int]) -> bool:
        """Claim units; false, and none is claimed, if one of them is on its way already."""
        with self._changed:
            free = self._begun.isdisjoint(units)
            if free:
                self._begun.update(units)
            return free

    def end(self, units: Set[int]) -> None:
        """They are stored, or have failed."""
        with self._changed:
            self._begun.difference_update(units)
            self._changed.notify_all()

    def wait(self, units: Set[int]) -> None:
        """Wait until none of them is on its way."""
        with self._changed:
            self._changed.wait_for(lambda: self._begun.isdisjoint(units))


def share_flights(folder: str, blob_id: str) -> Flights:
    """Those of a blob in a folder, by its real path; to be given back with `land`."""
    with _lock:
        flights = _shared.setdefault((folder, blob_id), Flights())
        flights.users += 1
        return flights


def land(flights: Flights) -> None:
    """One user less; the last one's are forgotten."""
    with _lock:
        flights.users -= 1
        if flights.users == 0:
            for key in [key for key, held in _shared.items() if held is flights]:
                del _shared[key]


def forget_flights() -> None:
    """This is the child of a fork, which has none of the threads that fetch."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()
