"""Who is reading through a cache, so that it can be taken away from under them."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Used"]

T = TypeVar("T")

_ROOM = 8  # entries that stay, so that coming and going do not allocate and free the list each time


class Used(Generic[T]):
    """A thing, and those that use it at the moment.

    Coming and going takes no lock, as a list can be appended to and popped from by any number of threads.
    """

    __slots__ = ("_gone", "inside", "retired", "thing")

    def __init__(self, thing: T) -> None:
        self.thing = thing
        self.inside: list[None] = [None] * _ROOM
        self.retired = False
        self._gone = threading.Event()

    def come(self) -> None:
        """Somebody uses it; he has to see afterwards whether it still is the one in use."""
        self.inside.append(None)

    def go(self) -> None:
        """And no longer does."""
        self.inside.pop()
        if self.retired:
            self.notice()

    def notice(self) -> None:
        """Wake who waits for the last to go, if that was he."""
        if len(self.inside) == _ROOM:
            self._gone.set()

    def retire(self) -> None:
        """Wait until nobody uses it; nobody new may come by now, but those who look once and leave."""
        self.retired = True
        while len(self.inside) > _ROOM:
            self._gone.wait()
            self._gone.clear()
