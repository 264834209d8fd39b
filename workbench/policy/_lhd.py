"""LHD: of a sample, whose expected hits per byte and time are fewest, learnt from the ages at which chunks are hit.

Source: Beckmann, Chen and Cidon, "LHD: Improving Cache Hit Rate by Maximizing Hit Density", NSDI 2018, and its
authors' code: classes by the last two hit ages, samples of 32 (8 at first), a few explorers. The draws are those of
one seed.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._pool import arena as _pool_arena
from workbench.policy._pool import candidate, choose, chosen, clear, draw, enter, held, leave

__all__ = ["arena", "functions"]

_CLASSES, _AGES = 16, 4096
_RECONFIGURE = 1 << 16  # uses
_DECAY = 0.9
_TOLERANCE = 0.01
_EXPLORE = 32  # one in so many

# Registers of the pool that are the policy's own: uses, how often it has learnt, and how coarse ages are.
_CLOCK, _LEARNT, _SHIFT = 4, 5, 6
# In floats: hits, evictions and densities by class and age, then five words a chunk.
_HITS, _EVICTIONS, _DENSITIES = 0, _CLASSES * _AGES, 2 * _CLASSES * _AGES
_OF_CHUNKS = 3 * _CLASSES * _AGES
_TIME, _LAST, _BEFORE, _SIZE, _EXPLORER, _WORDS = 0, 1, 2, 3, 4, 5


def arena(chunks: int) -> tuple[int, int]:
    """The pool; what was learnt, and what is known of each chunk."""
    return _pool_arena(chunks)[0], _OF_CHUNKS + _WORDS * chunks


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, sizes)
    ints[_SHIFT] = 4
    for cell in range(2 * _CLASSES * _AGES):
        floats[cell] = 0.0
    for number in range(_CLASSES):
        for age in range(_AGES):
            floats[_DENSITIES + number * _AGES + age] = (number + 1.0) / (age + 1.0)
    for chunk in range(len(sizes)):
        floats[_OF_CHUNKS + _WORDS * chunk + _SIZE] = float(max(sizes[chunk], 1))


def _age(ints: Any, floats: Any, at: int) -> int:
    return min((ints[_CLOCK] - int(floats[at + _TIME])) >> ints[_SHIFT], _AGES - 1)


def _class(floats: Any, at: int) -> int:
    """The sooner it was hit the last two times, the higher."""
    age, number = int(floats[at + _LAST] + floats[at + _BEFORE]), 0
    if age == 0:
        return _CLASSES - 1
    while age < _AGES and number < _CLASSES - 1:
        age <<= 1
        number += 1
    return number


def _density(ints: Any, floats: Any, at: int) -> float:
    age = _age(ints, floats, at)
    if age == _AGES - 1:
        return -1.0
    return float(floats[_DENSITIES + _class(floats, at) * _AGES + age] / floats[at + _SIZE] + floats[at + _EXPLORER])


def _used(ints: Any, floats: Any, at: int) -> None:
    floats[at + _TIME] = float(ints[_CLOCK])
    ints[_CLOCK] += 1
    exploring = ints[_LEARNT] < 50 and held(ints) > 0 and draw(ints) % _EXPLORE == 0
    floats[at + _EXPLORER] = 1.0 if exploring else 0.0
    if ints[_CLOCK] % _RECONFIGURE == 0:
        _learn(ints, floats)


def _learn(ints: Any, floats: Any) -> None:
    """Old counts fade; ages become as coarse as the count of chunks wants; densities follow from counts."""
    for cell in range(2 * _CLASSES * _AGES):
        floats[cell] *= _DECAY
    ints[_LEARNT] += 1
    if ints[_LEARNT] == 5 or ints[_LEARNT] == 25:
        shift = 1
        while (1 << shift) < held(ints) / (_TOLERANCE * _AGES):
            shift += 1
        if shift != ints[_SHIFT]:
            ints[_SHIFT] = shift
            for cell in range(2 * _CLASSES * _AGES):
                floats[cell] = 0.0
            return
    for number in range(_CLASSES):
        events = hits = lifetime = 0.0
        for back in range(_AGES):
            cell = number * _AGES + _AGES - 1 - back
            hits += floats[_HITS + cell]
            events += floats[_HITS + cell] + floats[_EVICTIONS + cell]
            lifetime += events
            floats[_DENSITIES + cell] = hits / lifetime if events > 1e-5 else 0.0


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    at = _OF_CHUNKS + _WORDS * chunk
    age = _age(ints, floats, at)
    floats[_HITS + _class(floats, at) * _AGES + age] += 1.0
    floats[at + _BEFORE] = floats[at + _LAST]
    floats[at + _LAST] = float(age)
    _used(ints, floats, at)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    at = _OF_CHUNKS + _WORDS * chunk
    floats[at + _LAST], floats[at + _BEFORE] = 0.0, float(_AGES)
    enter(ints, chunk)
    _used(ints, floats, at)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    goes = chosen(ints, pinned)
    if goes >= 0 or held(ints) == 0:
        return goes
    least = 0.0
    for _ in range(32 if ints[_LEARNT] > 50 else 8):
        drawn = draw(ints)
        density = _density(ints, floats, _OF_CHUNKS + _WORDS * drawn)
        if pinned[drawn] == 0 and (goes < 0 or density < least):
            goes, least = drawn, density
    if goes < 0:
        return candidate(ints, pinned)
    choose(ints, goes)
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    at = _OF_CHUNKS + _WORDS * chunk
    floats[_EVICTIONS + _class(floats, at) * _AGES + _age(ints, floats, at)] += 1.0
    leave(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
