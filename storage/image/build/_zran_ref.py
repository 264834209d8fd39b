"""A gzip layer as it is, made readable at random: chunks are pieces of its stream.

Nothing is stored again: the blob is the layer, and ``blob.meta``, a file of its own, holds the
contexts from which the layer can be inflated.

Source: nydus ``builder/src/tarball.rs`` (`TargzToRef`), ``storage/src/meta/zran.rs``.
"""

from __future__ import annotations

from typing import IO

import numpy as np

from storage.codec import Digester, Pieces, ZranReader, crc32c, digest
from storage.image._ondisk import ZRAN_CONTEXT
from storage.image.build._chunk_list import ChunkList
from storage.image.build._node import Node
from storage.image.build._reference import Referenced, RefMeta, write_reference
from storage.image.build._sink import Sink
from storage.image.build._tar_stream import TarStream
from storage.image.build._tar_tree import TarTree
from storage.image.build._zran_meta import ZRAN_FEATURES, ZranChunks, append_chunk, chunk_info

__all__ = ["write_zran"]


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
    tree, pieces, chunks = TarTree(stream), Pieces(reader), ZranChunks()
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
                append_chunk(chunks, key, len(plain), crc32c(plain), (start, reader.offset[0] - start), (number, place))
            else:
                chunks.duplicates += 1
            node.chunks.append(index)
    contexts = _contexts(pieces)
    layer_is = Referenced(reader.hexdigest(), reader.size, ZRAN_FEATURES, chunk_size)
    meta = RefMeta(chunk_info(chunks).tobytes(), contexts, len(pieces.pieces))
    image = write_reference(tree.root, chunks, layer_is, meta, out, inline=inline, toc=toc)
    return tree.root, chunks, layer_is.blob_id, image


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
