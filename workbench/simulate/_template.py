"""What calls a policy's function in `serve` when the loop is compiled for that policy: `function` is bound to it."""

from __future__ import annotations

from typing import Any

from storage.plan import keep_all

__all__ = ["admit", "choose", "hit", "let_in", "remove"]

function: Any = keep_all.on_hit


def hit(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """A chunk in the cache was served."""
    function(ints, floats, chunk)


def admit(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """A chunk goes into the cache."""
    function(ints, floats, chunk)


def choose(policy: Any, ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    """Who goes for a chunk."""
    return int(function(ints, floats, pinned, chunk))


def remove(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """A chunk leaves the cache."""
    function(ints, floats, chunk)


def let_in(policy: Any, ints: Any, floats: Any, chunk: int) -> int:
    """Whether a newcomer is admitted at all."""
    return int(function(ints, floats, chunk))
