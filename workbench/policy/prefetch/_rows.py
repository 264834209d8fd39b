"""A list of chunks, as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.policy.prefetch._policy import I64, Bound, PrefetchPolicy, checked

__all__ = ["rows"]


def rows(chunks: Sequence[int] | I64, name: str = "list") -> PrefetchPolicy:
    """Fetch these chunk rows, in this order."""
    return PrefetchPolicy(name, lambda known: Bound(checked(chunks, known.layout)))
