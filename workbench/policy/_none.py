"""No eviction: for caches without a bound. A bounded one that is full admits nothing more."""

from __future__ import annotations

from storage.plan import Policy, keep_all

__all__ = ["arena", "functions"]

functions: Policy = keep_all


def arena(chunks: int) -> tuple[int, int]:
    """There is nothing to remember."""
    return 1, 1
