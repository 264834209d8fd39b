"""One loop over requests, without time: hit, or make room and admit. Numba's subset, and plain Python too."""

from __future__ import annotations

from typing import Any

__all__ = [
    "BYTES_MISSED",
    "CAPACITY",
    "COUNTERS",
    "EVICTIONS",
    "MISSES",
    "REFUSED",
    "STORED",
    "admit",
    "begin",
    "hit",
    "let_in",
    "remove",
    "serve",
    "choose",
]

# Entries of `count`.
MISSES = 0
BYTES_MISSED = 1
STORED = 2
CAPACITY = 3
EVICTIONS = 4  # who was admitted and is not there: for those who call
REFUSED = 5  # misses that were not admitted
COUNTERS = 6

OFFLINE = 0  # bound to 1 for policies that know the future


def serve(
    policy: Any, ints: Any, floats: Any, sizes: Any, held: Any, pinned: Any, count: Any, objects: Any, nexts: Any
) -> None:
    """Serve requests for `objects`, one after the other.

    Parameters
    ----------
    policy
        Six function values, or nothing where the calls below are bound to a policy's own functions.
    ints, floats
        The policy's arenas.
    sizes : (n,) int64
        Bytes of each object.
    held : (n,) uint8
        1 for what is in the cache.
    pinned : (n,) int32
        All 0: without time nobody is in the middle of reading.
    count : (COUNTERS,) int64
    objects : (requests,) int32
    nexts : (requests,) int64
        For policies that know the future: which request uses the same object next.
    """
    misses, missed, stored, capacity = 0, 0, count[STORED], count[CAPACITY]
    refused = 0
    for request in range(len(objects)):
        chunk = int(objects[request])
        if OFFLINE:
            ints[len(ints) - 1] = nexts[request]
        if held[chunk] != 0:
            hit(policy, ints, floats, chunk)
            continue
        size = sizes[chunk]
        misses += 1
        missed += size
        if let_in(policy, ints, floats, chunk) == 0 or size > capacity:
            refused += 1
            continue
        while stored + size > capacity:
            goes = choose(policy, ints, floats, pinned, chunk)
            if goes < 0 or held[goes] == 0:
                break
            remove(policy, ints, floats, goes)
            held[goes] = 0
            stored -= sizes[goes]
        if stored + size <= capacity:
            admit(policy, ints, floats, chunk)
            held[chunk] = 1
            stored += size
        else:
            refused += 1
    count[STORED] = stored
    count[MISSES] += misses
    count[BYTES_MISSED] += missed
    count[REFUSED] += refused


def begin(policy: Any, ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    """Call the function value, which plain Python cannot: it would run what is made to be called by compiled code."""
    policy.init(ints, floats, sizes, capacity)


def hit(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """Call the function value."""
    policy.on_hit(ints, floats, chunk)


def admit(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """Call the function value."""
    policy.on_admit(ints, floats, chunk)


def choose(policy: Any, ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    """Call the function value."""
    return int(policy.victim(ints, floats, pinned, chunk))


def remove(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """Call the function value."""
    policy.on_remove(ints, floats, chunk)


def let_in(policy: Any, ints: Any, floats: Any, chunk: int) -> int:
    """Call the function value."""
    return int(policy.admits(ints, floats, chunk))
