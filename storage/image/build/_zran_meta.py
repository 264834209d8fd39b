"""Chunk information of a gzip layer whose chunks are pieces of its stream.

Source: nydus ``storage/src/meta/{chunk_info_v2,zran}.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from storage.errors import FormatError
from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_INFO_V2,
    CHUNK_IS_COMPRESSED,
    CHUNK_IS_ZRAN,
    MAX_CHUNKS_PER_BLOB,
)
from storage.image.blob_info import BlobFeatures
from storage.image.build._chunk_list import ChunkList

__all__ = ["ZRAN_FEATURES", "ZranChunks", "append_chunk", "chunk_info"]

ZRAN_FEATURES = (
    BlobFeatures.CAP_TAR_TOC
    | BlobFeatures.ALIGNED
    | BlobFeatures.CHUNK_INFO_V2
    | BlobFeatures.ZRAN
    | BlobFeatures.SEPARATE
)


@dataclass
class ZranChunks(ChunkList):
    """Chunks, and where in which piece of the stream each begins."""

    piece: list[int] = field(default_factory=list)
    piece_offset: list[int] = field(default_factory=list)


def append_chunk(
    chunks: ZranChunks, key: bytes, size: int, crc: int | None, stored: tuple[int, int], piece: tuple[int, int]
) -> None:
    """Add a chunk of `size` bytes.

    Parameters
    ----------
    crc
        Its CRC32C, if that is known.
    stored
        Offset and bytes of what it takes of the layer.
    piece
        The number of its inflate context, and where in what that gives it begins.
    """
    index = len(chunks)
    if index >= MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"the layer has more than {MAX_CHUNKS_PER_BLOB} chunks: take larger ones")
    end = chunks.uncompressed_offset[-1] + chunks.uncompressed_size[-1] if index else 0
    chunks.blob.append(0)
    chunks.index.append(index)
    chunks.digest.append(key)
    chunks.crc32c.append(crc or 0)
    chunks.compressed_offset.append(stored[0])
    chunks.compressed_size.append(stored[1])
    chunks.uncompressed_offset.append(-(-end // BLOCK_SIZE) * BLOCK_SIZE)
    chunks.uncompressed_size.append(size)
    chunks.flags.append(CHUNK_IS_COMPRESSED | (0 if crc is None else CHUNK_HAS_CRC32))
    chunks.piece.append(piece[0])
    chunks.piece_offset.append(piece[1])


def chunk_info(chunks: ZranChunks) -> np.ndarray:
    """The chunk information array, version 2."""
    if not len(chunks):
        return np.zeros(0, CHUNK_INFO_V2)
    size, offset = np.array(chunks.compressed_size, np.uint64), np.array(chunks.compressed_offset, np.uint64)
    plain, place = np.array(chunks.uncompressed_size, np.uint64), np.array(chunks.uncompressed_offset, np.uint64)
    if offset[-1] >= 1 << 40 or place[-1] >= 1 << 44:
        raise FormatError("the layer is too large for one blob")
    flags = np.uint64(CHUNK_IS_COMPRESSED | CHUNK_IS_ZRAN) << np.uint64(56)
    records = np.zeros(len(chunks), CHUNK_INFO_V2)
    records["compressed"] = size << np.uint64(40) | offset
    records["uncompressed"] = flags | plain - np.uint64(1) << np.uint64(32) | place >> np.uint64(12)
    records["data"] = np.array(chunks.piece, np.uint64) << np.uint64(32) | np.array(chunks.piece_offset, np.uint64)
    return records
