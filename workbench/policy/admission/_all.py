"""Whatever comes is admitted, if room can be made."""

from __future__ import annotations

from typing import Any

from workbench.policy.admission._gate import Gate

__all__ = ["arena", "gate"]


def arena(chunks: int) -> tuple[int, int]:
    """Nothing is remembered."""
    return 0, 0


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    pass


def _on_use(ints: Any, floats: Any, chunk: int) -> None:
    pass


def _admits(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return 1


gate = Gate(_init, _on_use, _admits)
