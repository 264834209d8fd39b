"""A gzip layer as it is, made readable at random: chunks are pieces of its stream.

Nothing is stored again: the blob is the layer, and ``blob.meta``, a file of its own, holds the
contexts from which the layer can be inflated.

Source: nydus ``builder/src/tarball.rs`` (`TargzToRef`), ``storage/src/meta/zran.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO

import numpy as np

from storage.codec import Digester, Pieces, ZranReader, crc32c, digest
from storage.errors import FormatError
from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_INFO_V2,
    CHUNK_IS_COMPRESSED,
    CHUNK_IS_ZRAN,
    MAX_CHUNKS_PER_BLOB,
    ZRAN_CONTEXT,
)
from storage.image.blob_info import BlobFeatures
from storage.image.build._chunk_list import ChunkList
from storage.image.build._node import Node
from storage.image.build._reference import Referenced, RefMeta, write_reference
from storage.image.build._sink import Sink
from storage.image.build._tar_headers import TarStream
from storage.image.build._tar_tree import TarTree

__all__ = ["write_zran"]

_FEATURES = (
    BlobFeatures.CAP_TAR_TOC
    | BlobFeatures.ALIGNED
    | BlobFeatures.CHUNK_INFO_V2
    | BlobFeatures.ZRAN
    | BlobFeatures.SEPARATE
)


@dataclass
class _ZranChunks(ChunkList):
    """Chunks, and where in which piece of the stream each begins."""

    piece: list[int] = field(default_factory=list)
    piece_offset: list[int] = field(default_factory=list)


def write_zran(
    layer: IO[bytes], path: str, out: Sink, chunk_size: int, *, inline: bool = False, toc: bool = False
) -> tuple[Node, ChunkList, str, bytes]:
    """Write the ``blob.meta`` of a gzip layer to `out`, and make its bootstrap.

    Parameters
    ----------
    inline, toc
        See `write_reference`.

    Returns
    -------
    tuple
        The root, its chunks, the layer's SHA-256, which is the blob's id, and the bootstrap.

    Raises
    ------
    FormatError
        If the layer is no tar, or none that is compressed by gzip.
    """
    reader = ZranReader(layer, path)
    stream = TarStream(reader, path)
    tree, pieces, chunks = TarTree(stream), Pieces(reader), _ZranChunks()
    index_of: dict[bytes, int] = {}
    for node, entry in tree.files():
        for at in range(0, entry.size, chunk_size):
            number, place = pieces.begin(chunk_size)
            start = reader.offset[0]
            plain = stream.exactly(min(chunk_size, entry.size - at))
            pieces.end()
            key = digest(Digester.SHA256, plain)
            index = index_of.setdefault(key, len(chunks))
            if index == len(chunks):
                _append(chunks, key, plain, (start, reader.offset[0] - start), (number, place))
            else:
                chunks.duplicates += 1
            node.chunks.append(index)
    contexts = _contexts(pieces)
    layer_is = Referenced(reader.hexdigest(), reader.size, _FEATURES, chunk_size)
    meta = RefMeta(_chunk_info(chunks).tobytes(), contexts, len(pieces.pieces))
    image = write_reference(tree.root, chunks, layer_is, meta, out, inline=inline, toc=toc)
    return tree.root, chunks, layer_is.blob_id, image


def _append(chunks: _ZranChunks, key: bytes, plain: bytes, stored: tuple[int, int], piece: tuple[int, int]) -> None:
    index = len(chunks)
    if index >= MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"the layer has more than {MAX_CHUNKS_PER_BLOB} chunks: take larger ones")
    end = chunks.uncompressed_offset[-1] + chunks.uncompressed_size[-1] if index else 0
    chunks.blob.append(0)
    chunks.index.append(index)
    chunks.digest.append(key)
    chunks.crc32c.append(crc32c(plain))
    chunks.compressed_offset.append(stored[0])
    chunks.compressed_size.append(stored[1])
    chunks.uncompressed_offset.append(-(-end // BLOCK_SIZE) * BLOCK_SIZE)
    chunks.uncompressed_size.append(len(plain))
    chunks.flags.append(CHUNK_HAS_CRC32 | CHUNK_IS_COMPRESSED)
    chunks.piece.append(piece[0])
    chunks.piece_offset.append(piece[1])


def _chunk_info(chunks: _ZranChunks) -> np.ndarray:
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


def _contexts(pieces: Pieces) -> bytes:
    """The table of contexts, and behind it their windows."""
    found = pieces.pieces
    windows = [piece.place.context.window for piece in found]
    sizes = np.array([len(window) for window in windows], np.int64)
    table = np.zeros(len(found), ZRAN_CONTEXT)
    table["in_offset"] = [piece.place.stored for piece in found]
    table["out_offset"] = [piece.place.plain for piece in found]
    table["in_size"] = [piece.stored_size for piece in found]
    table["out_size"] = [piece.plain_size for piece in found]
    table["dict_offset"] = np.cumsum(sizes) - sizes
    table["dict_size"] = sizes
    table["ctx_byte"] = [piece.place.context.byte for piece in found]
    table["ctx_bits"] = [piece.place.context.bits for piece in found]
    return table.tobytes() + b"".join(windows)
