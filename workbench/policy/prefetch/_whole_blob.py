"""Everything there is, from the front of each blob to its end: what nydusd's `prefetch_all` and streaming do."""

from __future__ import annotations

import numpy as np

from workbench.policy.prefetch._policy import Bound, PrefetchPolicy

__all__ = ["whole_blob"]


def whole_blob() -> PrefetchPolicy:
    """Fetch every chunk, in the order of the blobs."""
    return PrefetchPolicy("whole blob", lambda known: Bound(np.arange(len(known.layout.size))))
