"""The image's own prefetch table, which `nydus-image create --prefetch-policy fs` writes."""

from __future__ import annotations

from storage.plan import plan_prefetch
from workbench.policy.prefetch._policy import Bound, PrefetchPolicy

__all__ = ["table"]


def table() -> PrefetchPolicy:
    """Fetch what the prefetch table names, in the requests that a store makes of it; folders stand for what is in them.

    Before it comes what the image's blobs want by themselves; see `storage.plan.wishes`.
    """
    return PrefetchPolicy("table", lambda known: Bound(plan_prefetch(known.files, known.layout, known.options)))
