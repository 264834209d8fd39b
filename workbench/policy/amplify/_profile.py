"""Profile-guided: windows end where, in a recorded workload, what is needed together ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage.plan import Amplify, Layout

__all__ = ["profile"]


def profile(needed: Sequence[int] | npt.NDArray[np.int64], layout: Layout, batch: int = 1 << 20) -> Amplify:
    """Fetch along only chunks that a workload was seen to need: those of an unbroken run of `needed` rows.

    Parameters
    ----------
    needed
        Chunk rows of `layout`, `Workload.touched` for instance.
    batch
        The longest window, in bytes.
    """
    wanted = np.zeros(len(layout.size), np.bool_)
    wanted[np.asarray(needed, np.int64)] = True
    breaks = np.ones(len(wanted), np.bool_)
    breaks[:-1] = ~wanted[1:] | (layout.blob[1:] != layout.blob[:-1])
    ends = np.flatnonzero(breaks)
    last = ends[np.searchsorted(ends, np.arange(len(wanted)))]
    window = np.where(wanted, np.minimum(layout.end[last] - layout.start, batch), 0)
    return Amplify("profile", window, batch)
