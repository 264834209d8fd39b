"""What goes beside a layer that is kept as it is: ``blob.meta``, digests, a table of contents, the bootstrap.

Source: nydus ``builder/src/core/blob.rs`` (`dump_meta_data`), ``builder/src/lib.rs`` (`finalize_blob`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from storage.codec import Compressor, Digester, compress
from storage.image._ondisk import BLOCK_SIZE, META_HEADER, META_MAGIC
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._chunk_list import ChunkList
from storage.image.build._layout import place_nodes
from storage.image.build._node import Node
from storage.image.build._sink import Sink
from storage.image.build._toc import Toc, tar_header, write_bootstrap, write_digests, write_toc

__all__ = ["RefMeta", "Referenced", "write_reference"]


class Referenced(NamedTuple):
    """A layer that is the data blob.

    Attributes
    ----------
    blob_id, size
        Its SHA-256 in hex, and its bytes.
    features
        What is said of it apart from where its ``blob.meta`` lies.
    """

    blob_id: str
    size: int
    features: BlobFeatures
    chunk_size: int


class RefMeta(NamedTuple):
    """Chunk information of a layer, and behind it its inflate contexts, where it has some."""

    array: bytes
    contexts: bytes = b""
    pieces: int = 0


def write_reference(
    root: Node, chunks: ChunkList, layer: Referenced, meta: RefMeta, out: Sink, *, inline: bool, toc: bool
) -> bytes:
    """Write all but the layer to `out`; returns the bootstrap, which is not in there unless it is to be `inline`.

    Parameters
    ----------
    inline
        Whether the bootstrap goes to the end of `out`.
    toc
        Whether digests of the chunks and a table of contents do.
    """
    features = layer.features
    if inline:
        features |= BlobFeatures.INLINED_FS_META | BlobFeatures.HAS_TAR_HEADER
    if toc:
        features |= BlobFeatures.HAS_TOC | BlobFeatures.HAS_TAR_HEADER | BlobFeatures.INLINED_CHUNK_DIGEST
    contents, infos = Toc(), list[BlobInfo]()
    if len(chunks):
        info = _write_meta(chunks, layer._replace(features=features), meta, out, contents if toc else None, inline)
        if toc and not inline:
            size, digest = write_toc(out, contents)
            info = replace(info, toc_size=size, toc_digest=digest)
        infos = [info if inline else replace(info, meta_blob_id=out.hexdigest(), meta_size=out.size)]
    options = (Compressor.GZIP, Digester.SHA256, layer.chunk_size)
    image = dump_bootstrap(root, place_nodes(root, layer.chunk_size), chunks, infos, *options)
    if inline:
        write_bootstrap(image, out, contents if toc else None)
    return image


def _write_meta(
    chunks: ChunkList, layer: Referenced, meta: RefMeta, out: Sink, contents: Toc | None, inline: bool
) -> BlobInfo:
    array = meta.array + meta.contexts
    packed = compress(Compressor.ZSTD, array)
    compressor, stored = (Compressor.ZSTD, packed) if len(packed) < len(array) else (Compressor.NONE, array)
    header = np.zeros(1, META_HEADER)
    header["magic"] = header["magic2"] = META_MAGIC
    header["features"] = layer.features
    header["ci_compressor"] = compressor
    header["ci_entries"] = len(chunks)
    header["ci_compressed_size"], header["ci_uncompressed_size"] = len(stored), len(array)
    if meta.pieces:
        header["zran_offset"], header["zran_size"] = len(meta.array), len(meta.contexts)
        header["zran_count"] = meta.pieces
    out.write(stored)
    out.write(header.tobytes())
    if inline or contents is not None:
        out.write(tar_header("blob.meta", out.size))
    if contents is not None:
        contents.add_meta(compressor, array, header.tobytes(), 0, len(stored))
        write_digests(chunks.digest, out, contents)
    end = chunks.uncompressed_offset[-1] + chunks.uncompressed_size[-1]
    return BlobInfo(
        blob_index=0,
        blob_id=layer.blob_id,
        features=layer.features,
        compressed_size=layer.size,
        uncompressed_size=-(-end // BLOCK_SIZE) * BLOCK_SIZE,
        chunk_size=layer.chunk_size,
        chunk_count=len(chunks),
        compressor=Compressor.GZIP,
        digester=Digester.SHA256,
        meta_ci_compressor=compressor,
        meta_ci_offset=0,
        meta_ci_compressed_size=len(stored),
        meta_ci_uncompressed_size=len(array),
    )
