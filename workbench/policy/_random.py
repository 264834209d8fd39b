"""Random: anyone may go. Reproducible: the draws are those of one seed."""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._pool import arena, candidate, clear, enter, leave

__all__ = ["arena", "functions"]


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, sizes)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    pass


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    enter(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    return candidate(ints, pinned)


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    leave(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
