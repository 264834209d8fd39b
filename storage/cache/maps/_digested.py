"""A set of digests, for blobs whose chunks have no numbers of their own.

Nothing of it is on disk. After a restart a chunk counts as ready once its bytes were found in
the cache file, and were what its digest says.

Source: nydus ``storage/src/cache/state/digested_chunk_map.rs``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["DigestedChunkMap"]


class DigestedChunkMap:
    """The map of one blob, in memory. See `ChunkMap`.

    Parameters
    ----------
    digests : (n, 32) uint8
        Of the blob's chunks.
    held
        The set, where others have a map of the same blob.
    """

    keeps = False

    def __init__(self, digests: npt.NDArray[np.uint8], held: set[bytes] | None = None) -> None:
        self._digests = digests
        self._held: set[bytes] = set() if held is None else held

    @property
    def ready(self) -> npt.NDArray[np.bool_]:
        """None, but for those that others have found."""
        return self.held(0, len(self._digests))

    def held(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Chunks whose digest is in the set."""
        return np.array([digest.tobytes() in self._held for digest in self._digests[start:stop]], np.bool_)

    def set_ready(self, indexes: Sequence[int]) -> None:
        """Put digests into the set."""
        self._held.update(self._digests[index].tobytes() for index in indexes)

    def clear(self, index: int) -> None:
        """Take a digest out of the set."""
        self._held.discard(self._digests[index].tobytes())

    def close(self) -> None:
        """Nothing: whoever has the set goes on with it."""
