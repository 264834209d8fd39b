"""The one that knows the trace: each chunk that will be needed, in the order in which it is."""

from __future__ import annotations

from workbench.policy.prefetch._policy import Bound, PrefetchPolicy

__all__ = ["clairvoyant"]


def clairvoyant() -> PrefetchPolicy:
    """Fetch what the workload needs, what is needed first first. No real prefetch can know that."""
    return PrefetchPolicy("clairvoyant", lambda known: Bound(known.reads.first_use))
