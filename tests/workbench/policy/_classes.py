"""Eviction policies as plain Python classes, none of them built in that way."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Lru", "Newest", "Oldest"]


class Oldest:
    """First in, first out."""

    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        self.chunks: list[int] = []

    def on_hit(self, chunk: int) -> None:
        """Nothing."""

    def on_admit(self, chunk: int) -> None:
        """The newest is last."""
        self.chunks.append(chunk)

    def victim(self, pinned: Sequence[int], chunk: int) -> int:
        """The oldest that is free."""
        return next((held for held in self.chunks if not pinned[held]), -1)

    def on_remove(self, chunk: int) -> None:
        """It goes."""
        self.chunks.remove(chunk)


class Lru(Oldest):
    """The least recently used goes first."""

    def on_hit(self, chunk: int) -> None:
        """It is the newest again."""
        self.chunks.remove(chunk)
        self.chunks.append(chunk)


class Newest(Oldest):
    """Last in, first out."""

    def victim(self, pinned: Sequence[int], chunk: int) -> int:
        """The newest that is free."""
        return next((held for held in reversed(self.chunks) if not pinned[held]), -1)
