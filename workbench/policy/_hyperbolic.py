"""Hyperbolic: of a sample, who was used least for the time that it is in the cache.

Source: Blankstein, Sen and Freedman, "Hyperbolic Caching: Flexible Caching for Web Applications", USENIX ATC 2017,
with samples of 64.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._pool import arena as _pool_arena
from workbench.policy._pool import candidate, choose, chosen, clear, draw, enter, held, leave

__all__ = ["arena", "functions"]

_CLOCK, _CHUNKS = 4, 5  # registers
_SAMPLE = 64


def arena(chunks: int) -> tuple[int, int]:
    """The pool, and of each chunk how often it was used and since when it is there."""
    return _pool_arena(chunks)[0], 2 * chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, sizes)
    ints[_CHUNKS] = len(sizes)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_CLOCK] += 1
    floats[2 * chunk] += 1.0


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[_CLOCK] += 1
    floats[2 * chunk] = 1.0
    floats[2 * chunk + 1] = float(ints[_CLOCK])
    enter(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    goes = chosen(ints, pinned)
    if goes >= 0 or held(ints) == 0:
        return goes
    now, least = float(ints[_CLOCK] + 1), 0.0
    for _ in range(_SAMPLE):
        drawn = draw(ints)
        score = floats[2 * drawn] / (now - floats[2 * drawn + 1])
        if pinned[drawn] == 0 and (goes < 0 or score < least):
            goes, least = drawn, score
    if goes < 0:
        return candidate(ints, pinned)
    choose(ints, goes)
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    leave(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
