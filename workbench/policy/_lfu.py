"""Least frequently used since it was admitted; among equals, who was used longest ago.

Source: Aho, Denning and Ullman, "Principles of Optimal Page Replacement", 1971.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._heap import COUNT, arena, chunk_at, clear, forget, insert, least, rank

__all__ = ["arena", "functions"]


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, floats, sizes)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    at = chunk_at(ints, chunk)
    ints[at + COUNT] += 1
    rank(ints, floats, chunk, float(ints[at + COUNT]))


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[chunk_at(ints, chunk) + COUNT] = 1
    insert(ints, floats, chunk, 1.0)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    return least(ints, floats, pinned)


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    forget(ints, floats, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
