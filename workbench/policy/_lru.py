"""Least recently used: a hit makes a chunk the newest again."""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._queue import arena, clear, oldest_free, push, renew, unlink

__all__ = ["arena", "functions"]


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    renew(ints, chunk)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    push(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    return oldest_free(ints, pinned)


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    unlink(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
