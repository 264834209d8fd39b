"""`BlobDevice`: all blobs of an image, read through one cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from storage.device._io import BlobChunkInfo, BlobIoVec, BlobPrefetchRequest
from storage.errors import ConfigError
from storage.image.blob_info import BlobInfo
from storage.image.tables import Blobs, Chunks

__all__ = ["BlobCache", "BlobDevice", "Buffer"]

Buffer = bytearray | memoryview


class BlobCache(Protocol):
    """What a device reads through: `FileCache`, or one of your own."""

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

    def start_prefetch(self) -> None:
        """Take wishes again after `stop_prefetch`."""

    def stop_prefetch(self) -> None:
        """Drop what is queued, and what is wished for from now on; requests in flight finish."""

    def drain(self) -> None:
        """Wait until no prefetch is queued or under way."""


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
        self.cache = cache
        self._blobs = blobs

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
        return self.cache.read(iovec.rows, iovec.offsets, iovec.lengths, buffers, read_id)

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
