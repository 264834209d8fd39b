"""A bit a chunk, by its index: upstream's ``<blob>.blob.data.chunk_map``.

Source: nydus ``storage/src/cache/state/indexed_chunk_map.rs``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.cache.maps._persist import PersistMap, read_bits

__all__ = ["IndexedChunkMap", "read_chunk_map"]


def read_chunk_map(path: Path, count: int) -> npt.NDArray[np.bool_]:
    """Which of `count` chunks are ready, as the file says.

    Raises
    ------
    CacheError
        If the file is not a chunk map of that many chunks.
    """
    return read_bits(path, count)


class IndexedChunkMap:
    """The map of one blob, shared with whichever process has the folder open. See `ChunkMap`."""

    keeps = True

    def __init__(self, data: Path, count: int, writable: bool = True) -> None:
        self._bits = PersistMap(Path(f"{data}.chunk_map"), count, writable)
        self.ready = self._bits.bits
        self.held = self._bits.look
        self.set_ready = self._bits.set
        self.clear = self._bits.clear
        self.close = self._bits.close
