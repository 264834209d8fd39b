"""Direct access to what a cache holds of one blob: upstream's `BlobObject`.

Source: nydus ``storage/src/device.rs``, ``storage/src/cache/cachedfile.rs``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from storage.device._io import BlobIoRange
from storage.errors import ConfigError
from storage.image.blob_info import BlobInfo
from storage.image.tables import Chunks

__all__ = ["BlobObject", "Fetching"]


class Fetching(Protocol):
    """What a cache does for blob objects."""

    def fetch(self, rows: Sequence[int], ahead: bool = False) -> None:
        """Have chunks in the cache, now; see `FileCache.fetch`."""

    def is_ready(self, rows: Sequence[int]) -> bool:
        """Whether all of these chunks are in the cache."""


Do = Callable[[Fetching], bool | None]


class BlobObject:
    """A blob in the cache, by ranges of it; every call returns once the range is there.

    Ranges are in bytes; chunks that a range touches are fetched whole, widened and merged as the plan says. What is
    there already is not fetched again, what is on its way is waited for; between chunks there is nothing to fetch.

    Parameters
    ----------
    info, chunks, rows
        The blob, the image's chunk table, and the blob's rows of it.
    use
        Calls a function with the cache that is in use; while it runs the cache stays.
    """

    def __init__(self, info: BlobInfo, chunks: Chunks, rows: range, use: Callable[[Do], bool | None]) -> None:
        self.info = info
        self.rows = rows
        self._use = use
        part = slice(rows.start, rows.stop)
        self._compressed = chunks.compressed_offset[part], chunks.compressed_size[part]
        self._uncompressed = chunks.uncompressed_offset[part], chunks.uncompressed_size[part]

    @property
    def base_offset(self) -> int:
        """Where the blob begins in its cache file."""
        return 0

    def is_all_data_ready(self) -> bool:
        """Whether every chunk is in the cache."""
        return bool(self._use(lambda cache: cache.is_ready(self.rows)))

    def fetch_range_compressed(self, offset: int, size: int, prefetch: bool = False) -> None:
        """Have the chunks that a range of the compressed blob touches in the cache.

        With `prefetch` they are fetched as any prefetch: stepping back for users, and without waiting for what is on
        its way.

        Raises
        ------
        ConfigError
            If the range is not in the blob.
        BackendError, IntegrityError, CacheError
            See `FileCache.fetch`.
        """
        self._fetch(offset, size, self._compressed, self.info.compressed_data_size, prefetch)

    def fetch_range_uncompressed(self, offset: int, size: int) -> None:
        """Have the chunks that a range of the uncompressed blob, which is the cache file, touches in the cache.

        Raises
        ------
        ConfigError, BackendError, IntegrityError, CacheError
            See `fetch_range_compressed`.
        """
        self._fetch(offset, size, self._uncompressed, self.info.uncompressed_size, False)

    def prefetch_chunks(self, chunks: BlobIoRange) -> None:
        """Have chunks in the cache, as a prefetch."""
        self._use(lambda cache: cache.fetch(chunks.rows, ahead=True))

    def _fetch(
        self, offset: int, size: int, places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], end: int, ahead: bool
    ) -> None:
        starts, sizes = places
        if offset < 0 or size <= 0 or offset + size > end:
            raise ConfigError(f"{size} bytes from there are not in the blob", blob=self.info.blob_id, offset=offset)
        touched = np.flatnonzero((starts < offset + size) & (starts + sizes > offset)) + self.rows.start
        if len(touched):
            self._use(lambda cache: cache.fetch(touched.tolist(), ahead=ahead))
