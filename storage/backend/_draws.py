"""Random numbers that depend on nothing but their key, so that a run can be had again and compared exactly.

Integer arithmetic in numba's subset. A key is a seed, the number of a request, and what the number is for.
"""

from __future__ import annotations

from typing import Any

__all__ = ["RANGE", "draw", "quantile_of", "tries_of"]

RANGE = (1 << 31) - 1
"""Draws are from 0 to below this."""

_MILLION = 1_000_000


def draw(seed: int, request: int, purpose: int) -> int:
    """A number in [0, RANGE): rounds of the minimal standard generator (Park and Miller 1988), which fit int64."""
    number = seed % RANGE
    for word in (request % RANGE, request // RANGE, purpose):
        number = (number * 48271 + word + 11) % RANGE
        number = (number ^ (number >> 15)) * 48271 % RANGE
    return number


def quantile_of(quantiles: Any, number: int) -> int:
    """A draw of a distribution that is given by its quantiles at equal steps; between them it is even."""
    steps = len(quantiles) - 1
    if steps <= 0:
        return int(quantiles[0]) if steps == 0 else 0
    place = number * steps
    step = place // RANGE
    part = (place - step * RANGE) >> 11
    return int(quantiles[step] + ((quantiles[step + 1] - quantiles[step]) * part >> 20))


def tries_of(seed: int, request: int, errors: int, retries: int) -> int:
    """How often a request is sent when `errors` in a million fail; negative if it fails for good."""
    if errors == 0:
        return 1
    for attempt in range(retries + 1):
        if draw(seed, request, 2 * attempt + 2) % _MILLION >= errors:
            return attempt + 1
    return -1 - retries
