"""No map: every chunk is ready, and stays so. For a blob that is its own cache file.

Source: nydus ``storage/src/cache/state/noop_chunk_map.rs``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["NoopChunkMap"]


class NoopChunkMap:
    """Says the same of every chunk, whatever it is told. See `ChunkMap`.

    Parameters
    ----------
    count
        How many chunks there are.
    cached
        What it says: that they are ready, or that they are not.
    """

    keeps = True

    def __init__(self, count: int, cached: bool) -> None:
        self.ready = np.full(count, cached, np.bool_)

    def held(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """What it says."""
        return self.ready[start:stop]

    def set_ready(self, indexes: Sequence[int]) -> None:
        """Nothing."""

    def clear(self, index: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
