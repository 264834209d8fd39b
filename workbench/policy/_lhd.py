"""LHD: of a sample, whose expected hits per byte and time are fewest, learnt from the ages at which chunks are hit.

Source: Beckmann, Chen and Cidon, "LHD: Improving Cache Hit Rate by Maximizing Hit Density", NSDI 2018, and its
authors' code, whose constants these are: classes by the last two hit ages, samples of 32 (8 at first) and the last
newcomers that looked poor, a hundredth of the cache for explorers. The draws are those of one seed.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._hitdensity import (
    CLASSES,
    MAX_AGE,
    OF_CLASSES,
    SHIFT,
    begin,
    density_at,
    event,
    learn,
)
from workbench.policy._pool import arena as _pool_arena
from workbench.policy._pool import candidate, choose, chosen, clear, draw, enter, held, leave, roll

__all__ = ["arena", "functions"]

_LEARN = 1 << 20  # uses
_SETTLED = 50  # times of learning, after which samples are larger and nobody explores
_EXPLORE = 32  # one in so many
_LOWEST = -1e38
_DECAY = 0.9

# Registers of the pool that are the policy's own.
_CLOCK, _LEARNT = 4, 5
# In floats: registers, those of newcomers among them, what is known of classes, then five words a chunk.
_BUDGET, _VICTIMS, _HEAD, _NEWCOMERS = 4, 5, 6, 8
_MANY = 8
_TIME, _LAST, _CLASS, _SIZE, _EXPLORER, _WORDS = 0, 1, 2, 3, 4, 5
_OF_CHUNKS = OF_CLASSES + 3 * CLASSES * MAX_AGE


def arena(chunks: int) -> tuple[int, int]:
    """The pool; what was learnt, and what is known of each chunk."""
    return _pool_arena(chunks)[0], _OF_CHUNKS + _WORDS * chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, sizes)
    begin(floats)
    floats[_BUDGET] = capacity / 100.0
    floats[_VICTIMS] = floats[_HEAD] = 0.0
    for place in range(_MANY):
        floats[_NEWCOMERS + place] = -1.0
    for chunk in range(len(sizes)):
        at = _OF_CHUNKS + _WORDS * chunk
        floats[at + _TIME] = -1.0  # it is not in
        floats[at + _SIZE] = float(max(sizes[chunk], 1))


def _age(ints: Any, floats: Any, at: int) -> int:
    return min((ints[_CLOCK] - int(floats[at + _TIME])) >> int(floats[SHIFT]), MAX_AGE - 1)


def _class(age: int) -> int:
    """The sooner it was hit the last two times, the higher."""
    number = 0
    if age == 0:
        return CLASSES - 1
    while age < MAX_AGE and number < CLASSES - 1:
        age <<= 1
        number += 1
    return number


def _density(ints: Any, floats: Any, at: int) -> float:
    age = _age(ints, floats, at)
    if age == MAX_AGE - 1:
        return _LOWEST
    density = density_at(floats, int(floats[at + _CLASS]), age, ints[_LEARNT] == 0)
    return float(density / floats[at + _SIZE] + floats[at + _EXPLORER])


def _used(ints: Any, floats: Any, at: int) -> bool:
    """Begin an age. Returns whether a newcomer may be one of those that look poor."""
    floats[at + _TIME] = float(ints[_CLOCK])
    drawn = roll(ints, _EXPLORE) == 0
    exploring = drawn and floats[_BUDGET] > 0.0 and ints[_LEARNT] < _SETTLED
    floats[at + _EXPLORER] = 1.0 if exploring else 0.0
    if exploring:
        floats[_BUDGET] -= floats[at + _SIZE]
    return not drawn


def _tick(ints: Any, floats: Any) -> None:
    ints[_CLOCK] += 1
    if ints[_CLOCK] % _LEARN == 0:
        learn(floats, held(ints), ints[_LEARNT])
        ints[_LEARNT] += 1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    at = _OF_CHUNKS + _WORDS * chunk
    age = _age(ints, floats, at)
    event(floats, 0, int(floats[at + _CLASS]), age)
    if floats[at + _EXPLORER] != 0.0:
        floats[_BUDGET] += floats[at + _SIZE]
    floats[at + _CLASS] = float(_class(age + int(floats[at + _LAST])))
    floats[at + _LAST] = float(age)
    _used(ints, floats, at)
    _tick(ints, floats)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    at = _OF_CHUNKS + _WORDS * chunk
    enter(ints, chunk)
    floats[at + _LAST] = floats[at + _CLASS] = 0.0
    if _used(ints, floats, at) and _density(ints, floats, at) < floats[_VICTIMS]:
        floats[_NEWCOMERS + int(floats[_HEAD])] = float(chunk)
        floats[_HEAD] = float((int(floats[_HEAD]) + 1) % _MANY)
    _tick(ints, floats)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    goes = chosen(ints, pinned)
    if goes >= 0 or held(ints) == 0:
        return goes
    least = 0.0
    sampled = 32 if ints[_LEARNT] > _SETTLED else 8
    for place in range(sampled + _MANY):
        drawn = _looked_at(ints, floats, place - sampled)
        if drawn >= 0 and pinned[drawn] == 0:
            density = _density(ints, floats, _OF_CHUNKS + _WORDS * drawn)
            if goes < 0 or density < least:
                goes, least = drawn, density
    if goes < 0:
        return candidate(ints, pinned)
    floats[_VICTIMS] = _DECAY * floats[_VICTIMS] + (1.0 - _DECAY) * least
    choose(ints, goes)
    return goes


def _looked_at(ints: Any, floats: Any, place: int) -> int:
    """Anyone, or from place 0 on the newcomer there; -1 if it has gone."""
    if place < 0:
        return draw(ints)
    newcomer = int(floats[_NEWCOMERS + place])
    return newcomer if newcomer >= 0 and floats[_OF_CHUNKS + _WORDS * newcomer + _TIME] >= 0.0 else -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    at = _OF_CHUNKS + _WORDS * chunk
    event(floats, 1, int(floats[at + _CLASS]), _age(ints, floats, at))
    if floats[at + _EXPLORER] != 0.0:
        floats[_BUDGET] += floats[at + _SIZE]
    floats[at + _TIME] = -1.0
    leave(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
