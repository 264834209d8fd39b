"""A list of chunks, as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from storage.plan import Batches
from workbench.policy.prefetch._policy import I64, Bound, Known, PrefetchPolicy, checked

__all__ = ["rows"]


def rows(chunks: Sequence[int] | I64 | Batches, name: str = "list") -> PrefetchPolicy:
    """Fetch these chunk rows, in this order, merged with their neighbours, or in these requests."""

    def bind(known: Known) -> Bound:
        if isinstance(chunks, Batches):
            return Bound(Batches(checked(chunks.rows, known.layout), chunks.first))
        return Bound(checked(chunks, known.layout))

    return PrefetchPolicy(name, bind)
