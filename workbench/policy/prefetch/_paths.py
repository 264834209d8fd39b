"""Files and folders by path: nydusd's `prefetch_files`, and prefetch lists of all sorts."""

from __future__ import annotations

from collections.abc import Sequence

from storage.plan import plan_prefetch
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["paths"]


def paths(names: Sequence[str | bytes]) -> PrefetchPolicy:
    """Fetch these files, one after the other; a folder stands for all that is in it.

    Binding it raises `PathError` if a path is not in the image.
    """

    def bind(known: Known) -> Bound:
        inodes = [known.files.lookup(name) for name in names]
        return Bound(plan_prefetch(known.files, known.layout, known.options, inodes))

    return PrefetchPolicy("paths", bind)
