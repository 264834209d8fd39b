"""A landmark in the blob: what was put before it is fetched at once, the rest behind it.

Source: eStargz, "Prioritized files and landmark files" (github containerd/stargz-snapshotter, docs/estargz.md).
"""

from __future__ import annotations

import numpy as np

from storage.image import Image
from workbench.policy.prefetch._policy import Bound, PrefetchPolicy, checked

__all__ = ["landmark"]

_NAMES = (b"/.prefetch.landmark", b"/.no.prefetch.landmark")


def landmark(before: int | Image, background: bool = True) -> PrefetchPolicy:
    """Fetch the chunks before a landmark, and then, if `background`, those after it.

    Parameters
    ----------
    before
        The landmark's chunk row, or an image with a ``.prefetch.landmark`` file; without one, or with
        ``.no.prefetch.landmark``, nothing goes first.
    """
    row = before if isinstance(before, int) else _row(before)

    def bind(known: object) -> Bound:
        layout = known.layout  # type: ignore[attr-defined]
        return Bound(checked(np.arange(len(layout.size) if background else row), layout))

    return PrefetchPolicy("landmark", bind)


def _row(image: Image) -> int:
    names = dict(image.children(0))
    inode = names.get(_NAMES[0][1:])
    if inode is None:
        return 0
    rows = image.segments(inode, 0, int(image.inodes.size[inode]))[0]
    return rows[0] if rows else 0
