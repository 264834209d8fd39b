"""A bit for every so many bytes of the uncompressed blob: upstream's ``<blob>.range_map``.

For what fills a cache file by ranges rather than by chunks. A range counts once the chunks
that touch it are there, a chunk once the ranges that it touches are.

Source: nydus ``storage/src/cache/state/range_map.rs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.cache.maps._persist import PersistMap

__all__ = ["RangeMap"]

_SHIFT = 12


class RangeMap:
    """The map of one blob, of ranges of 4 KiB. See `ChunkMap`.

    Parameters
    ----------
    data
        The cache file.
    offsets, sizes : (n,) int64
        Where the blob's chunks lie in it, ascending, in bytes.
    """

    keeps = True

    def __init__(
        self, data: Path, offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], writable: bool = True
    ) -> None:
        self._first = offsets >> _SHIFT
        self._last = (offsets + np.maximum(sizes, 1) - 1) >> _SHIFT
        self._bits = PersistMap(Path(f"{data}.range_map"), int(self._last.max(initial=-1)) + 1, writable)
        held = np.concatenate([[0], np.cumsum(self._bits.bits)])
        self.ready: npt.NDArray[np.bool_] = held[self._last + 1] - held[self._first] == self._last - self._first + 1
        self._now = self.ready.copy()
        self.close = self._bits.close

    def held(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Chunks all of whose ranges are ready."""
        low = int(self._first[start])
        held = np.concatenate([[0], np.cumsum(self._bits.look(low, int(self._last[stop - 1]) + 1))])
        first, last = self._first[start:stop] - low, self._last[start:stop] - low
        ready: npt.NDArray[np.bool_] = held[last + 1] - held[first] == last - first + 1
        return ready

    def set_ready(self, indexes: Sequence[int]) -> None:
        """Set the bits of ranges all of whose chunks are ready."""
        self._now[indexes] = True
        try:
            ranges = [bit for index in indexes for bit in self._ranges(index) if self._is_whole(bit)]
            if ranges:
                self._bits.set(ranges)
        except BaseException:
            self._now[indexes] = False
            raise

    def clear(self, index: int) -> None:
        """Clear the bits of the ranges that a chunk touches; those of neighbours in them go with it."""
        self._now[index] = False
        for bit in self._ranges(index):
            self._bits.clear(bit)

    def _ranges(self, index: int) -> range:
        return range(int(self._first[index]), int(self._last[index]) + 1)

    def _is_whole(self, bit: int) -> bool:
        first = int(np.searchsorted(self._last, bit))
        last = int(np.searchsorted(self._first, bit, side="right"))
        return bool(self._now[first:last].all())
