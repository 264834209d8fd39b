"""Chunks up to a size are admitted."""

from __future__ import annotations

from typing import Any

from workbench.policy.admission._gate import Gate

__all__ = ["arena", "gate"]

PARAMETER = 0  # bound to the largest size, bytes


def arena(chunks: int) -> tuple[int, int]:
    """Whether each chunk is small enough."""
    return chunks, 0


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    for chunk in range(len(sizes)):
        ints[chunk] = 1 if sizes[chunk] <= PARAMETER else 0


def _on_use(ints: Any, floats: Any, chunk: int) -> None:
    pass


def _admits(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return int(ints[chunk])


gate = Gate(_init, _on_use, _admits)
