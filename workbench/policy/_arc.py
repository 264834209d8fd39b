"""ARC: two LRU lists, of those seen once and of those seen again, and ghosts of both that say how to share.

Source: Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003. The paper counts
pages; here a target and a list are bytes, and a ghost that comes back moves the target by its own bytes
for each page by which the paper's would.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._lists import (
    SIZE,
    arena,
    move,
    node_of,
    oldest,
    oldest_free,
    prepare,
    push,
    recall,
    size_of,
    take,
    where,
)

__all__ = ["arena", "functions"]

_ONCE, _AGAIN, _ONCE_GHOST, _AGAIN_GHOST = 0, 1, 2, 3
_CAPACITY, _FORGET, _LEAVING = 2, 6, 10  # registers
_TARGET = 0  # in floats: bytes that _ONCE should have


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    prepare(ints, sizes)
    floats[_TARGET] = 0.0
    ints[_CAPACITY] = capacity
    ints[_FORGET] = ints[_LEAVING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    move(ints, _AGAIN, chunk, 0)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    push(ints, _AGAIN if _come_back(ints, floats, chunk) >= 0 else _ONCE, chunk, 0)


def _come_back(ints: Any, floats: Any, chunk: int) -> int:
    """A miss: if there is a ghost of it, move the target. Returns the ghost's list, -1 for none."""
    which = where(ints, chunk)
    if which in (_ONCE_GHOST, _AGAIN_GHOST):
        size = float(ints[node_of(chunk) + SIZE])
        once, again = float(size_of(ints, _ONCE_GHOST)), float(size_of(ints, _AGAIN_GHOST))
        if which == _ONCE_GHOST:
            floats[_TARGET] = min(floats[_TARGET] + size * max(again / once, 1.0), float(ints[_CAPACITY]))
        else:
            floats[_TARGET] = max(floats[_TARGET] - size * max(once / again, 1.0), 0.0)
    return recall(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    ghost, size = -1, 0
    if chunk >= 0:
        ghost = _come_back(ints, floats, chunk)
        size = ints[node_of(chunk) + SIZE]
    ints[_FORGET] = -1
    if ghost < 0:
        ints[_FORGET] = _too_many(ints, size)
        if ints[_FORGET] == _ONCE:
            return _leave(ints, _ONCE, _AGAIN, pinned)
    once = size_of(ints, _ONCE)
    if once > floats[_TARGET] or (once > 0 and once == floats[_TARGET] and ghost == _AGAIN_GHOST):
        return _leave(ints, _ONCE, _AGAIN, pinned)
    return _leave(ints, _AGAIN, _ONCE, pinned)


def _leave(ints: Any, first: int, second: int, pinned: Any) -> int:
    goes = oldest_free(ints, first, pinned)
    if goes < 0:
        goes = oldest_free(ints, second, pinned)
    ints[_LEAVING] = goes
    return goes


def _too_many(ints: Any, size: int) -> int:
    """The list that forgets its oldest ghost for a wholly new chunk; _ONCE if that is not to leave a ghost."""
    once, again = size_of(ints, _ONCE) + size_of(ints, _ONCE_GHOST), size_of(ints, _AGAIN) + size_of(ints, _AGAIN_GHOST)
    if once + size > ints[_CAPACITY]:
        return _ONCE_GHOST if size_of(ints, _ONCE_GHOST) > 0 else _ONCE
    if once + again >= 2 * ints[_CAPACITY] and size_of(ints, _AGAIN_GHOST) > 0:
        return _AGAIN_GHOST
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    left, evicted, forget = where(ints, chunk), ints[_LEAVING] == chunk, ints[_FORGET]
    take(ints, chunk)
    ints[_LEAVING] = ints[_FORGET] = -1
    if not evicted or forget == _ONCE:
        return
    if forget >= 0:
        take(ints, oldest(ints, forget))
    push(ints, _ONCE_GHOST if left == _ONCE else _AGAIN_GHOST, chunk, 0)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
