"""What the first program reads: a prefetch list made of a recording of it."""

from __future__ import annotations

from workbench.policy.prefetch._policy import Bound, PrefetchPolicy

__all__ = ["first_program"]


def first_program() -> PrefetchPolicy:
    """Fetch the chunks that the workload's first program needs, ascending, so that neighbours merge."""
    return PrefetchPolicy("first program", lambda known: Bound(known.reads.chunks_of(0)))
