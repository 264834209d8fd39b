"""What calls a policy's function in `serve` when the loop is compiled for that policy: `function` is bound to it."""

from __future__ import annotations

from typing import Any

from storage.plan import keep_all

__all__ = ["on_admit", "on_hit", "on_remove", "victim"]

function: Any = keep_all.on_hit


def on_hit(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """A chunk in the cache was served."""
    function(ints, floats, chunk)


def on_admit(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """A chunk goes into the cache."""
    function(ints, floats, chunk)


def victim(policy: Any, ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    """Who goes for a chunk."""
    return int(function(ints, floats, pinned, chunk))


def on_remove(policy: Any, ints: Any, floats: Any, chunk: int) -> None:
    """A chunk leaves the cache."""
    function(ints, floats, chunk)
