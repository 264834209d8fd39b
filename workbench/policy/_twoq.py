"""2Q: a queue for newcomers, ghosts of those that left it, and an LRU list for those that came back.

Source: Johnson and Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement Algorithm", VLDB
1994, full version: newcomers have a quarter of the cache, ghosts stand for half of it.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import arena, move, oldest_free, prepare, push, recall, remember, size_of, where

__all__ = ["arena", "functions"]

_IN, _OUT, _MAIN = 0, 1, 2
_IN_LIMIT, _OUT_LIMIT, _LEAVING = 2, 6, 10  # registers


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    ints[_IN_LIMIT] = capacity // 4
    ints[_OUT_LIMIT] = capacity // 2
    ints[_LEAVING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    if where(ints, chunk) == _MAIN:
        move(ints, _MAIN, chunk, 0)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    push(ints, _MAIN if recall(ints, chunk) == _OUT else _IN, chunk, 0)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    if chunk >= 0:
        recall(ints, chunk)
    goes = -1
    if size_of(ints, _IN) <= ints[_IN_LIMIT]:
        goes = oldest_free(ints, _MAIN, pinned)
    if goes < 0:
        goes = oldest_free(ints, _IN, pinned)
    if goes < 0:
        goes = oldest_free(ints, _MAIN, pinned)
    ints[_LEAVING] = goes
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    remember(ints, _IN, chunk, _OUT, ints[_OUT_LIMIT], _LEAVING)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
