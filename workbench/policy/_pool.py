"""Chunks to draw from at random: a dense table, with a seeded generator. Numba's subset.

In ints: registers, then the table, then each chunk's place in it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["REGISTERS", "arena", "candidate", "clear", "choose", "chosen", "draw", "enter", "held", "leave", "roll"]

_CHUNKS, _HELD, _STATE, _CHOSEN = 0, 1, 2, 3
REGISTERS = 8  # from 4 on the policy's own
_NOBODY = -1
# Knuth's MMIX generator, modulo 2**63, so that it is the same in plain Python.
_MULTIPLIER, _INCREMENT, _MASK = 6364136223846793005, 1442695040888963407, (1 << 63) - 1


def arena(chunks: int) -> tuple[int, int]:
    """Sizes of the int64 and the float64 arena for `chunks` chunks."""
    return REGISTERS + 2 * chunks, 1


def clear(ints: Any, sizes: Any) -> None:
    """Nobody is there."""
    for word in range(REGISTERS):
        ints[word] = 0
    ints[_CHUNKS] = len(sizes)
    ints[_STATE] = 88172645463325252
    ints[_CHOSEN] = _NOBODY


def held(ints: Any) -> int:
    """How many are there."""
    return int(ints[_HELD])


def enter(ints: Any, chunk: int) -> None:
    """A chunk comes in."""
    place = ints[_HELD]
    ints[REGISTERS + place] = chunk
    ints[REGISTERS + ints[_CHUNKS] + chunk] = place
    ints[_HELD] = place + 1


def leave(ints: Any, chunk: int) -> None:
    """A chunk leaves; the last takes its place."""
    last = ints[_HELD] - 1
    place, moved = ints[REGISTERS + ints[_CHUNKS] + chunk], ints[REGISTERS + last]
    ints[REGISTERS + place] = moved
    ints[REGISTERS + ints[_CHUNKS] + moved] = place
    ints[_HELD] = last
    if ints[_CHOSEN] == chunk:
        ints[_CHOSEN] = _NOBODY


def roll(ints: Any, below: int) -> int:
    """A number below another, which is at most 2**31."""
    state = (ints[_STATE] * _MULTIPLIER + _INCREMENT) & _MASK
    ints[_STATE] = state
    return int(((state >> 31) * below) >> 32)


def draw(ints: Any) -> int:
    """Anyone of those that are there."""
    return int(ints[REGISTERS + roll(ints, ints[_HELD])])


def choose(ints: Any, chunk: int) -> None:
    """Remember who was chosen, so that who asks again hears the same."""
    ints[_CHOSEN] = chunk


def chosen(ints: Any, pinned: Any) -> int:
    """Who was chosen and may still go; -1 for nobody."""
    chunk = ints[_CHOSEN]
    return int(chunk) if chunk >= 0 and pinned[chunk] == 0 else -1


def candidate(ints: Any, pinned: Any) -> int:
    """Anyone who may go; -1 if there is nobody."""
    chunk = chosen(ints, pinned)
    if chunk < 0 and ints[_HELD] > 0:
        chunk = draw(ints)
        place = ints[REGISTERS + ints[_CHUNKS] + chunk]
        tries = 0
        while pinned[chunk] != 0 and tries < ints[_HELD]:
            place = place + 1 if place + 1 < ints[_HELD] else 0
            chunk = int(ints[REGISTERS + place])
            tries += 1
        if pinned[chunk] != 0:
            chunk = -1
        ints[_CHOSEN] = chunk
    return chunk
