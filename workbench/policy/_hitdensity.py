"""What LHD learns: hits and evictions by class and age, and the hit densities that follow. Numba's subset."""

from __future__ import annotations

from typing import Any

__all__ = ["CLASSES", "MAX_AGE", "OF_CLASSES", "SHIFT", "begin", "density_at", "event", "learn"]

CLASSES, MAX_AGE = 16, 20_000
# Registers in floats: how coarse ages are, and the mean count of chunks.
SHIFT, _CHUNKS, _WEIGHT = 0, 1, 2
OF_CLASSES = 16  # then hits, evictions and densities by class and age
_TABLE = CLASSES * MAX_AGE
_FIRST_SHIFT = 10
_COARSENED = (5, 25)  # times of learning
_TOLERATED = 200.0  # a hundredth of the greatest age
_FEWEST = 1e-5
_DECAY = 0.9


def begin(floats: Any) -> None:
    """Nothing is known."""
    floats[SHIFT] = float(_FIRST_SHIFT)
    floats[_CHUNKS] = floats[_WEIGHT] = 0.0
    for cell in range(OF_CLASSES, OF_CLASSES + 2 * _TABLE):
        floats[cell] = 0.0


def density_at(floats: Any, number: int, age: int, new: bool) -> float:
    """Expected hits per time of a class at an age; before anything is learnt, about what GDSF would say."""
    if new:
        return (CLASSES + number + 1.0) / (age + 1.0)
    return float(floats[OF_CLASSES + 2 * _TABLE + number * MAX_AGE + age])


def event(floats: Any, evicted: int, number: int, age: int) -> None:
    """One of a class was hit, or evicted, at an age."""
    cell = OF_CLASSES + evicted * _TABLE + number * MAX_AGE + age
    floats[cell] += 1.0


def learn(floats: Any, chunks: int, times: int) -> None:
    """Old counts fade; ages become as coarse as the count of chunks wants; densities follow from counts."""
    for cell in range(OF_CLASSES, OF_CLASSES + 2 * _TABLE):
        floats[cell] *= _DECAY
    floats[_CHUNKS] = floats[_CHUNKS] * _DECAY + chunks
    floats[_WEIGHT] = floats[_WEIGHT] * _DECAY + 1.0
    if times == _COARSENED[0] or times == _COARSENED[1]:
        _coarsen(floats)
    for number in range(CLASSES):
        _model(floats, OF_CLASSES + number * MAX_AGE)


def _coarsen(floats: Any) -> None:
    wanted, shift = floats[_CHUNKS] / floats[_WEIGHT] / _TOLERATED, 1
    while (1 << shift) < wanted:
        shift += 1
    change = shift - int(floats[SHIFT])
    floats[SHIFT] = float(shift)
    floats[_CHUNKS] *= 8.0
    floats[_WEIGHT] *= 8.0
    for number in range(2 * CLASSES):
        if change < 0:
            _stretch(floats, OF_CLASSES + number * MAX_AGE, -change)
        elif change > 0:
            _compress(floats, OF_CLASSES + number * MAX_AGE, change)


def _stretch(floats: Any, row: int, by: int) -> None:
    last = row + MAX_AGE - 1
    for age in range(MAX_AGE >> by, MAX_AGE - 1):
        floats[last] += floats[row + age]
    for age in range(MAX_AGE - 2, -1, -1):
        floats[row + age] = floats[row + (age >> by)] / (1 << by)


def _compress(floats: Any, row: int, by: int) -> None:
    for age in range(MAX_AGE >> by):
        several = floats[row + (age << by)]
        for other in range(1, 1 << by):
            several += floats[row + (age << by) + other]
        floats[row + age] = several
    for age in range(MAX_AGE >> by, MAX_AGE - 1):
        floats[row + age] = 0.0


def _model(floats: Any, row: int) -> None:
    """Hits that are still to come, over the time until they do or the chunk goes."""
    last = row + MAX_AGE - 1
    hits = floats[last]
    events = hits + floats[last + _TABLE]
    lifetime = events
    for age in range(MAX_AGE - 2, -1, -1):
        cell = row + age
        hits += floats[cell]
        events += floats[cell] + floats[cell + _TABLE]
        lifetime += events
        floats[cell + 2 * _TABLE] = hits / lifetime if events > _FEWEST else 0.0
