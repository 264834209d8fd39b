"""The plainest policy that evicts, for tests of what is around it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from storage.plan import Policy

__all__ = ["plain_lru"]


def plain_lru() -> Policy:
    """A new LRU policy in an ordered dictionary; it has no use for its arenas."""
    held: OrderedDict[int, None] = OrderedDict()

    def init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
        held.clear()

    def on_hit(ints: Any, floats: Any, chunk: int) -> None:
        held.move_to_end(chunk)

    def on_admit(ints: Any, floats: Any, chunk: int) -> None:
        held[chunk] = None

    def victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
        return next((chunk for chunk in held if pinned[chunk] == 0), -1)

    def on_remove(ints: Any, floats: Any, chunk: int) -> None:
        held.pop(chunk, None)

    return Policy(init, on_hit, on_admit, victim, on_remove)
