"""tarfs: chunks of a blob that is a tar, told by block addresses and file sizes alone.

There is neither a ``blob.meta`` nor a digest.

Source: nydus ``rafs/src/metadata/direct_v6.rs`` (`TarfsChunkInfoV6`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._inodes import gather
from storage.image._ondisk import CHUNK_ADDR, TAR_BLOCK_SIZE
from storage.image.blob_info import BlobInfo
from storage.image.tables import PLAIN, Blobs, Chunks, Extents, Inodes

__all__ = ["tarfs_chunks"]


def tarfs_chunks(
    data: npt.NDArray[np.uint8], infos: Sequence[BlobInfo], inodes: Inodes, extents: Extents, blobs: Blobs
) -> Chunks:
    """The chunk table, from the chunk addresses of all files; chunks of no file are empty.

    Raises
    ------
    FormatError
        If two files have one chunk in two places, or a chunk lies outside its tar.
    """
    number = np.arange(len(extents)) - inodes.first_extent[extents.inode]
    where = inodes.data_offset[extents.inode] + number * CHUNK_ADDR.itemsize
    start = gather(data, where, CHUNK_ADDR)["block"].astype(np.int64) * TAR_BLOCK_SIZE
    count = int(blobs.chunk_count.sum())
    offset, size = np.zeros(count, np.int64), np.zeros(count, np.int64)
    offset[extents.chunk], size[extents.chunk] = start, extents.length
    differ = (offset[extents.chunk] != start) | (size[extents.chunk] != extents.length)
    blob = np.repeat(np.arange(len(infos), dtype=np.int32), blobs.chunk_count)
    outside = (start + extents.length) > blobs.uncompressed_size[blob[extents.chunk]]
    for complaint, wrong in (("is in two places", differ), ("lies outside its tar", outside)):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise FormatError(f"a chunk {complaint}", chunk=int(extents.chunk[at]), offset=int(where[at]))
    return Chunks(
        blob=blob,
        index=(np.arange(count) - np.repeat(blobs.first_chunk, blobs.chunk_count)).astype(np.int32),
        compressed_offset=offset,
        compressed_size=size,
        uncompressed_offset=offset,
        uncompressed_size=size,
        compressed=np.zeros(count, np.bool_),
        digest=np.zeros((count, 32), np.uint8),
        has_digest=np.zeros(count, np.bool_),
        crc32c=np.zeros(count, np.uint32),
        has_crc32c=np.zeros(count, np.bool_),
        encrypted=np.zeros(count, np.bool_),
        unit=np.arange(count),
        unit_offset=np.zeros(count, np.int32),
        unit_size=size.astype(np.int32),
        kind=np.full(count, PLAIN, np.uint8),
        own_size=size,
    )
