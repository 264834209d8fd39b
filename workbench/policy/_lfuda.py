"""LFU with dynamic aging: newcomers start from the priority of who left last, so that old fame fades.

Source: Arlitt et al., "Evaluating Content Management Techniques for Web Proxy Caches", 2000: a chunk's priority is
its count of uses plus the cache's age when it was last used.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._heap import COUNT, arena, chunk_at, clear, forget, insert, least, rank

__all__ = ["arena", "functions"]

_AGE = 0  # in floats
_LEAVING = 3  # in ints


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints, floats, sizes)
    ints[_LEAVING] = -1


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    at = chunk_at(ints, chunk)
    ints[at + COUNT] += 1
    rank(ints, floats, chunk, floats[_AGE] + ints[at + COUNT])


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[chunk_at(ints, chunk) + COUNT] = 1
    insert(ints, floats, chunk, floats[_AGE] + 1.0)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    ints[_LEAVING] = least(ints, floats, pinned)
    return int(ints[_LEAVING])


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    priority = forget(ints, floats, chunk)
    if ints[_LEAVING] == chunk:
        floats[_AGE] = max(floats[_AGE], priority)
    ints[_LEAVING] = -1


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
