"""TinyLFU: a newcomer is admitted if it was used more often of late than the first that would go for it.

Source: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM TOS 2017. Uses that
were misses count, too.
"""

from __future__ import annotations

from typing import Any

from workbench.policy._uses import FIRST, begin, count, use
from workbench.policy.admission._gate import Gate

__all__ = ["arena", "gate"]


def arena(chunks: int) -> tuple[int, int]:
    """Counts."""
    return FIRST + chunks, 0


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    begin(ints, sizes, capacity)


def _on_use(ints: Any, floats: Any, chunk: int) -> None:
    use(ints, chunk)


def _admits(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return 1 if victim < 0 or count(ints, chunk) > count(ints, victim) else 0


gate = Gate(_init, _on_use, _admits)
