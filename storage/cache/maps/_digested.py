"""A set of digests and places, for blobs whose chunks have no numbers of their own.

A blob may hold the same chunk in two places, and the cache file in one of them. Nothing of it is on
disk. After a restart a chunk counts as ready once its bytes were found in the cache file, and were what
its digest says.

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
    offsets : (n,) int64
        Where they lie in the cache file.
    held
        The set, where others have a map of the same blob.
    """

    keeps = False

    def __init__(
        self, digests: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], held: set[bytes] | None = None
    ) -> None:
        self._digests, self._offsets = digests, offsets
        self._held: set[bytes] = set() if held is None else held

    @property
    def ready(self) -> npt.NDArray[np.bool_]:
        """None, but for those that others have found."""
        return self.held(0, len(self._digests))

    def held(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Chunks that are in the set."""
        if not self._held:
            return np.zeros(stop - start, np.bool_)
        return np.array([self._key(index) in self._held for index in range(start, stop)], np.bool_)

    def set_ready(self, indexes: Sequence[int]) -> None:
        """Put them into the set."""
        self._held.update(map(self._key, indexes))

    def clear(self, index: int) -> None:
        """Take one out of the set."""
        self._held.discard(self._key(index))

    def _key(self, index: int) -> bytes:
        return self._digests[index].tobytes() + int(self._offsets[index]).to_bytes(8, "little")

    def close(self) -> None:
        """Nothing: whoever has the set goes on with it."""
