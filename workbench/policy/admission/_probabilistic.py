"""A share of newcomers is admitted: what comes often comes in sooner or later, what comes once mostly does not.

The draws are keyed by how many there were before, so that a run compares exactly.
"""

from __future__ import annotations

from typing import Any

from workbench.policy.admission._gate import Gate

__all__ = ["arena", "gate"]

PARAMETER = 0.5  # bound to the share

_STATE, _SHARE = 0, 0
# Knuth's MMIX generator, modulo 2**63, so that it is the same in plain Python.
_MULTIPLIER, _INCREMENT, _MASK = 6364136223846793005, 1442695040888963407, (1 << 63) - 1


def arena(chunks: int) -> tuple[int, int]:
    """The generator's state, and the share."""
    return 1, 1


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    ints[_STATE] = _INCREMENT
    floats[_SHARE] = PARAMETER


def _on_use(ints: Any, floats: Any, chunk: int) -> None:
    pass


def _admits(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    if victim >= 0:
        return 1  # it was drawn for before there was any
    ints[_STATE] = (ints[_STATE] * _MULTIPLIER + _INCREMENT) & _MASK
    return 1 if (ints[_STATE] >> 10) < floats[_SHARE] * (1 << 53) else 0


gate = Gate(_init, _on_use, _admits)
