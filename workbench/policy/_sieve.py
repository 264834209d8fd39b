"""SIEVE: a hand goes from old to new, spares once what was hit, and takes the first that was not.

Source: Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024.
"""

from __future__ import annotations

from typing import Any

from storage.plan import Policy
from workbench.policy._queue import MARK, NEWER, WIDTH, arena, chunk_of, clear, push, unlink

__all__ = ["arena", "functions"]

# The mark of a chunk says whether it was hit; that of node 0 is the hand: a node, or 0 for the oldest.
_HAND = MARK


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    clear(ints)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    ints[WIDTH * (chunk + 1) + MARK] = 1


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    push(ints, chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    node = ints[_HAND]
    # From the hand to the new end, then at most twice around: the first time may only wipe marks.
    rounds = 0
    while rounds < 3:
        if node == 0:
            rounds += 1
            node = ints[NEWER]
        elif pinned[chunk_of(node)] != 0:
            node = ints[node + NEWER]
        elif ints[node + MARK] != 0:
            ints[node + MARK] = 0
            node = ints[node + NEWER]
        else:
            ints[_HAND] = node
            return chunk_of(node)
    return -1


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    node = WIDTH * (chunk + 1)
    if ints[_HAND] == node:
        ints[_HAND] = ints[node + NEWER]
    unlink(ints, chunk)


functions = Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
