"""The image's own prefetch table, which `nydus-image create --prefetch-policy fs` writes."""

from __future__ import annotations

from storage.image import Image
from workbench.policy.prefetch._paths import chunks_of_inodes
from workbench.policy.prefetch._policy import Bound, PrefetchPolicy, checked

__all__ = ["table"]


def table(image: Image) -> PrefetchPolicy:
    """Fetch what the prefetch table names, in its order; folders stand for what is in them."""
    chunks = chunks_of_inodes(image, image.prefetch.tolist())
    return PrefetchPolicy("prefetch table", lambda known: Bound(checked(chunks, known.layout)))
