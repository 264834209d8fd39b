"""GreedyDual-Size with frequency: many uses keep a chunk, many bytes do not; a newcomer may be worth least.

Source: Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", 1998.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._heap import COUNT, SIZE, arena, chunk_at, clear, forget, insert, least, priority_of, rank

__all__ = ["arena", "functions"]

_AGE, _WORTH = 0, 1  # in floats
_LEAVING, _COMING = 3, 4  # in ints
_SCALE = 1.0e6


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, floats, sizes)
    ints[_LEAVING] = ints[_COMING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    at = chunk_at(ints, chunk)
    ints[at + COUNT] += 1
    rank(ints, floats, chunk, floats[_AGE] + ints[at + COUNT] * _SCALE / ints[at + SIZE])


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    worth = _worth(ints, floats, chunk)
    ints[chunk_at(ints, chunk) + COUNT] = 1
    ints[_COMING] = -1
    insert(ints, floats, chunk, worth)


def _worth(ints: Any, floats: Any, chunk: int) -> float:
    """A newcomer's priority, by the cache's age before anybody made room for it."""
    if ints[_COMING] != chunk:
        ints[_COMING] = chunk
        floats[_WORTH] = floats[_AGE] + _SCALE / ints[chunk_at(ints, chunk) + SIZE]
    return float(floats[_WORTH])


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    goes = least(ints, floats, pinned)
    if goes >= 0 and chunk >= 0:
        worth = _worth(ints, floats, chunk)
        if worth < priority_of(ints, floats, goes):
            floats[_AGE] = worth
            ints[_COMING] = goes = -1
    ints[_LEAVING] = goes
    return goes


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    priority = forget(ints, floats, chunk)
    if ints[_LEAVING] == chunk:
        floats[_AGE] = priority
    ints[_LEAVING] = -1


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
