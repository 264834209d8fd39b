"""One block lookahead: with each chunk, the next.

Source: Smith, "Sequentiality and prefetching in database systems", ACM TODS 3(3), 1978.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.plan import Ahead
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["obl"]


def obl() -> PrefetchPolicy:
    """Suggest the chunk after the one that is read, in the same blob."""
    return PrefetchPolicy("obl", _bind)


def _bind(known: Known) -> Bound:
    return Bound(ahead=Ahead(_on_read, known.layout.blob, np.zeros(1)))


def _on_read(blob: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    if chunk + 1 == len(blob) or blob[chunk + 1] != blob[chunk]:
        return 0
    out[0] = chunk + 1
    return 1
