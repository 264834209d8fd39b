"""A cursor over a user's buffers."""

from __future__ import annotations

from collections.abc import Sequence

from storage.device import Buffer
from storage.errors import ConfigError

__all__ = ["Cursor", "Nowhere"]


class Cursor:
    """Hands out the next bytes of several buffers, as views into them."""

    __slots__ = ("_at", "_index", "_views")

    def __init__(self, buffers: Sequence[Buffer], needed: int) -> None:
        self._views = [memoryview(buffer).cast("B") for buffer in buffers]
        self._index = 0
        self._at = 0
        room = sum(len(view) for view in self._views)
        if room < needed:
            raise ConfigError(f"the buffers hold {room} bytes, {needed} are to be read")

    def take(self, length: int) -> list[memoryview]:
        """Views of the next `length` bytes."""
        taken = []
        while length > 0:
            view = self._views[self._index]
            piece = view[self._at : self._at + length]
            self._at += len(piece)
            length -= len(piece)
            if self._at == len(view):
                self._index += 1
                self._at = 0
            if len(piece):
                taken.append(piece)
        return taken

    def put(self, data: memoryview) -> None:
        """Copy `data` to the next bytes."""
        at = 0
        for piece in self.take(len(data)):
            piece[:] = data[at : at + len(piece)]
            at += len(piece)


class Nowhere(Cursor):
    """Of a read whose bytes nobody wants: it is there to have chunks in the cache."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__((), 0)

    def put(self, data: memoryview) -> None:
        """Leave them where they are."""
