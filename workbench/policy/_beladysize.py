"""Belady's MIN for sizes: of a sample, who keeps most bytes for the longest until it is used again.

A chunk that is never used again is not admitted. A good heuristic, no bound: finding the optimum is NP-hard.
The last word of ints says when the chunk in hand is used next.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._pool import arena as _pool_arena
from workbench.policy._pool import candidate, choose, chosen, clear, draw, enter, held, leave

__all__ = ["OFFLINE", "arena", "functions"]

OFFLINE = True
_CLOCK, _CHUNKS = 4, 5  # registers
_SAMPLE = 128
_NEVER = (1 << 63) - 1


def arena(chunks: int) -> tuple[int, int]:
    """The pool and the word for the next use; of each chunk its bytes and its next use."""
    return _pool_arena(chunks)[0] + 1, 2 * chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, sizes)
    ints[_CHUNKS] = len(sizes)
    for chunk in range(len(sizes)):
        floats[2 * chunk] = float(sizes[chunk])


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_CLOCK] += 1
    floats[2 * chunk + 1] = float(ints[len(ints) - 1])


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_CLOCK] += 1
    floats[2 * chunk + 1] = float(ints[len(ints) - 1])
    enter(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    if chunk >= 0 and ints[len(ints) - 1] == _NEVER:
        return -1
    goes = chosen(ints, pinned)
    if goes >= 0 or held(ints) == 0:
        return goes
    most = 0.0
    for _ in range(_SAMPLE):
        drawn = draw(ints)
        score = floats[2 * drawn] * (floats[2 * drawn + 1] - ints[_CLOCK])
        if pinned[drawn] == 0 and (goes < 0 or score > most):
            goes, most = drawn, score
    if goes < 0:
        return candidate(ints, pinned)
    choose(ints, goes)
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    leave(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
