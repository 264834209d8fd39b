"""What a chunk map is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ChunkMap"]


class ChunkMap(Protocol):
    """Which chunks of one blob are in its cache file, as far as that outlives the process.

    What is in flight, who waits and who is woken is the decider's, over whichever map there is.
    `set_ready` and `clear` are called under the cache's lock.
    """

    @property
    def ready(self) -> npt.NDArray[np.bool_]:
        """Chunks that were known to be ready when the map was opened, (n,)."""

    @property
    def keeps(self) -> bool:
        """Whether it still knows after a restart. Where not, chunks are looked for in the cache file, by digest."""

    def held(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Which of the chunks `start` to `stop` are ready now, whoever marked them, (stop - start,)."""

    def set_ready(self, indexes: Sequence[int]) -> None:
        """Mark chunks, ascending, as ready: their bytes are in the cache file.

        Raises
        ------
        CacheError
            If it cannot be written; then none of them counts as ready.
        """

    def clear(self, index: int) -> None:
        """Mark a chunk as gone, before its bytes are."""

    def close(self) -> None:
        """Close what it has open."""
