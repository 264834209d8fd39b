"""CLOCK: first in, first out, with one more round for what was hit meanwhile.

Source: Corbató, "A Paging Experiment with the Multics System", 1968.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._queue import MARK, NEWER, WIDTH, arena, chunk_of, clear, push, unlink

__all__ = ["arena", "functions"]


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    ints[WIDTH * (chunk + 1) + MARK] = 1


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    push(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    node = ints[NEWER]
    while node != 0:
        oldest = chunk_of(node)
        newer = ints[node + NEWER]
        if pinned[oldest] == 0:
            if ints[node + MARK] == 0:
                return oldest
            unlink(ints, oldest)
            push(ints, oldest)
            newer = newer if newer != 0 else node
        node = newer
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    unlink(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
