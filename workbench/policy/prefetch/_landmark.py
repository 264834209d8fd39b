"""A landmark in the blob: what was put before it is fetched at once, the rest behind it.

Source: eStargz, "Prioritized files and landmark files" (github containerd/stargz-snapshotter, docs/estargz.md).
"""

from __future__ import annotations

import numpy as np

from storage.errors import PathError
from storage.image import Image
from workbench.policy.prefetch._policy import I64, Bound, Known, PrefetchPolicy

__all__ = ["landmark"]

_LANDMARK = "/.prefetch.landmark"


def landmark(background: bool = True) -> PrefetchPolicy:
    """Fetch what lies before the landmark in its blob, and then, if `background`, everything else.

    An image without a ``.prefetch.landmark``, or with a ``.no.prefetch.landmark`` instead, has nothing that goes first.
    """

    def bind(known: Known) -> Bound:
        first = _before(known.files)
        rest = np.setdiff1d(np.arange(len(known.layout.size)), first) if background else first[:0]
        return Bound(np.concatenate([first, rest]))

    return PrefetchPolicy("landmark", bind)


def _before(image: Image) -> I64:
    try:
        inode = image.lookup(_LANDMARK)
    except PathError:
        return np.zeros(0, np.int64)
    rows = image.segments(inode, 0, int(image.inodes.size[inode]))[0]
    if not rows:
        return np.zeros(0, np.int64)
    blob = int(image.chunks.blob[rows[0]])
    return np.arange(int(image.blobs.first_chunk[blob]), rows[0])
