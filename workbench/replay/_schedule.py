"""Who is next: a tournament over the actors' next times; of equal times the lowest actor wins.

Numba's subset. Entry 1 of `winner` is who is next; actor ``a`` enters at leaf ``leaves + a``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from storage.backend._link import FOREVER

__all__ = ["Schedule", "at", "new_schedule"]


class Schedule(NamedTuple):
    """When each actor acts next.

    Attributes
    ----------
    time : (leaves,) int64
        Nanoseconds; FOREVER for who waits to be called.
    winner : (2 * leaves,) int64
    """

    time: Any
    winner: Any


def new_schedule(actors: int) -> Schedule:
    """Nobody is to act."""
    leaves = 1 << max(actors - 1, 0).bit_length()
    winner = np.zeros(2 * leaves, np.int64)
    winner[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        winner[node] = winner[2 * node]
    return Schedule(np.full(leaves, FOREVER, np.int64), winner)


def at(schedule: Schedule, actor: int, time: int) -> None:
    """Let an actor act at a time."""
    times, winner = schedule.time, schedule.winner
    times[actor] = time
    node = (len(times) + actor) >> 1
    while node > 0:
        left, right = winner[2 * node], winner[2 * node + 1]
        winner[node] = right if times[right] < times[left] else left
        node >>= 1
