"""`BlobDevice`: all blobs of an image, read through one cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from storage.device._io import BlobChunkInfo, BlobIoVec, BlobPrefetchRequest
from storage.device._object import BlobObject
from storage.device._users import Used
from storage.errors import ConfigError
from storage.image.blob_info import BlobInfo
from storage.image.tables import Blobs, Chunks

__all__ = ["BlobCache", "BlobDevice", "Buffer", "ReadAtOnce"]

Buffer = bytearray | memoryview
ReadAtOnce = Callable[[Sequence[int], Sequence[int], Sequence[int], Sequence[Buffer], int | None], int]
T = TypeVar("T")


def _not_at_once(*_: object) -> int:
    return -1


class BlobCache(Protocol):
    """What a device reads through: `FileCache`, or one of your own.

    One that has a function `read_at_once` is asked by it first, of the same arguments as `read`: it returns -1 where
    it cannot, and may be called while the cache is being closed, and after.
    """

    def read(
        self,
        rows: Sequence[int],
        offsets: Sequence[int],
        lengths: Sequence[int],
        buffers: Sequence[Buffer],
        read_id: int | None = None,
    ) -> int:
        """Fill `buffers` with the segments' bytes; see `BlobDevice.read_to`."""

    def prefetch(self, rows: Sequence[int]) -> None:
        """Have chunks fetched in the background."""

    def is_ready(self, rows: Sequence[int]) -> bool:
        """Whether all of these chunks are in the cache."""

    def fetch(self, rows: Sequence[int], ahead: bool = False) -> None:
        """Have chunks in the cache, now; see `FileCache.fetch`."""

    def start_prefetch(self) -> None:
        """Take wishes again after `stop_prefetch`."""

    def stop_prefetch(self) -> None:
        """Drop what is queued, and what is wished for from now on; requests in flight finish."""

    def drain(self) -> None:
        """Wait until no prefetch is queued or under way."""

    def close(self) -> None:
        """Close it; what is cached stays."""


class BlobDevice:
    """The block device under a RAFS file system.

    Parameters
    ----------
    infos, blobs, chunks
        The image's blobs and its chunk table.
    cache
        What all reads go through.
    """

    def __init__(self, infos: Sequence[BlobInfo], blobs: Blobs, chunks: Chunks, cache: BlobCache) -> None:
        self.infos = tuple(infos)
        self.chunks = chunks
        self._blobs = blobs
        self._take(cache)

    def _take(self, cache: BlobCache) -> None:
        self._used = Used(cache)
        self._read_at_once: ReadAtOnce = getattr(cache, "read_at_once", _not_at_once)

    @property
    def cache(self) -> BlobCache:
        """What reads go through, until `update` replaces it."""
        return self._used.thing

    def update(self, cache: BlobCache) -> None:
        """Have everything from now on read through another cache of the same blobs, and close the one before.

        Reads that are under way end on the cache that they began with: this returns once they have. What was queued
        to be read ahead is dropped.
        """
        before = self._used
        self._take(cache)
        before.thing.stop_prefetch()
        before.retire()
        before.thing.close()

    def _use(self, what: Callable[[BlobCache], T]) -> T:
        """Do something with the cache, while it stays."""
        used = self._come()
        try:
            return what(used.thing)
        finally:
            used.go()

    def _come(self) -> Used[BlobCache]:
        while True:
            used = self._used
            used.come()
            if used is self._used:
                return used
            used.go()

    def read_to(self, iovec: BlobIoVec, buffers: Sequence[Buffer], read_id: int | None = None) -> int:
        """Read what `iovec` describes and scatter it over `buffers`.

        Parameters
        ----------
        iovec
            At least one descriptor; bytes go to the buffers in its order.
        buffers
            Writable, of bytes; together at least ``iovec.size`` long.
        read_id
            The user read that this is part of; by default it is one of its own.

        Returns
        -------
        int
            Bytes read, always ``iovec.size``.

        Raises
        ------
        BackendError, IntegrityError, CacheError
            If a chunk could not be fetched, does not match its digest, or cannot be cached.
        """
        size = self._read_at_once(iovec.rows, iovec.offsets, iovec.lengths, buffers, read_id)
        return size if size >= 0 else self._read(iovec, buffers, read_id)

    def _read(self, iovec: BlobIoVec, buffers: Sequence[Buffer], read_id: int | None) -> int:
        return self._use(lambda cache: cache.read(iovec.rows, iovec.offsets, iovec.lengths, buffers, read_id))

    def blob_object(self, blob_index: int) -> BlobObject:
        """A blob in the cache, by ranges.

        Raises
        ------
        ConfigError
            If there is no such blob.
        """
        if not 0 <= blob_index < len(self.infos):
            raise ConfigError("no such blob in this image", blob=blob_index)
        first = int(self._blobs.first_chunk[blob_index])
        rows = range(first, first + int(self._blobs.chunk_count[blob_index]))
        return BlobObject(self.infos[blob_index], self.chunks, rows, self._use)

    def fetch_range_synchronous(self, requests: Sequence[BlobPrefetchRequest]) -> None:
        """Have ranges of uncompressed blobs in the cache; empty ones, and those of other blobs, are passed over.

        Raises
        ------
        ConfigError, BackendError, IntegrityError, CacheError
            See `BlobObject.fetch_range_uncompressed`.
        """
        indexes = {info.blob_id: info.blob_index for info in self.infos}
        for request in requests:
            if request.len > 0 and request.blob_id in indexes:
                self.blob_object(indexes[request.blob_id]).fetch_range_uncompressed(request.offset, request.len)

    def prefetch(self, iovecs: Sequence[BlobIoVec] = (), requests: Sequence[BlobPrefetchRequest] = ()) -> None:
        """Fetch chunks in the background, blob ranges first; errors are events, not exceptions."""
        for request in requests:
            self.cache.prefetch(self._rows_of(request))
        for iovec in iovecs:
            self.cache.prefetch(iovec.rows)

    def start_prefetch(self) -> None:
        """Take wishes again after `stop_prefetch`."""
        self.cache.start_prefetch()

    def stop_prefetch(self) -> None:
        """Drop what is queued, and what is wished for from now on; requests in flight finish."""
        self.cache.stop_prefetch()

    def all_chunks_ready(self, iovecs: Sequence[BlobIoVec]) -> bool:
        """Whether a read of all of these would be served from the cache."""
        return all(self.cache.is_ready(iovec.rows) for iovec in iovecs)

    def chunk_info(self, blob_index: int, chunk_index: int) -> BlobChunkInfo:
        """The chunk at an index of a blob's ``blob.meta``."""
        if not 0 <= blob_index < len(self.infos):
            raise ConfigError("no such blob in this image", blob=blob_index)
        if not 0 <= chunk_index < self._blobs.chunk_count[blob_index]:
            raise ConfigError("no such chunk in the blob", blob=blob_index, chunk=chunk_index)
        return BlobChunkInfo(self.chunks, int(self._blobs.first_chunk[blob_index]) + chunk_index)

    def _rows_of(self, request: BlobPrefetchRequest) -> list[int]:
        """Chunks that a compressed range touches."""
        for info in self.infos:
            if info.blob_id == request.blob_id:
                first = int(self._blobs.first_chunk[info.blob_index])
                rows = np.arange(first, first + int(self._blobs.chunk_count[info.blob_index]))
                start = self.chunks.compressed_offset[rows]
                end = start + self.chunks.compressed_size[rows]
                touched = (start < request.offset + request.len) & (end > request.offset)
                return [int(row) for row in rows[touched]]
        raise ConfigError("no such blob in this image", blob=request.blob_id)
