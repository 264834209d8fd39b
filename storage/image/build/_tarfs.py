"""tarfs: an image whose blob is the tar itself, in blocks of 512 bytes.

Source: nydus ``builder/src/tarball.rs`` (`TarToTarfs`), ``builder/src/core/node.rs``.
"""

from __future__ import annotations

import hashlib

from storage.codec import Compressor, Digester
from storage.errors import FormatError
from storage.image._ondisk import MAX_CHUNKS_PER_BLOB
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._chunk_list import ChunkList
from storage.image.build._layout import place_nodes
from storage.image.build._node import Node
from storage.image.build._tar_fields import TAR_BLOCK
from storage.image.build._tar_stream import Source, TarStream
from storage.image.build._tar_tree import TarTree

__all__ = ["HashedSource", "write_tarfs"]


class HashedSource:
    """A stream that is hashed as it is read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._checksum = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        data = self._source.read(size)
        self._checksum.update(data)
        return data

    def hexdigest(self) -> str:
        """The SHA-256 of all that was read, in hex."""
        return self._checksum.hexdigest()


def write_tarfs(stream: TarStream, chunk_size: int) -> tuple[Node, ChunkList, str, bytes]:
    """The bootstrap of a tar that is not compressed.

    Returns
    -------
    tuple
        The root, its chunks, the blob's id, which is the tar's SHA-256, and the bootstrap.

    Raises
    ------
    FormatError
        If the tar is broken or too large.
    """
    source = HashedSource(stream)
    inner = TarStream(source, stream.path)
    tree, chunks = TarTree(inner), ChunkList()
    for node, entry in tree.files():
        for at in range(0, entry.size, chunk_size):
            node.chunks.append(len(chunks))
            _append(chunks, entry.offset + at, min(chunk_size, entry.size - at), stream.path)
    info = _info(source.hexdigest(), inner.offset, len(chunks), chunk_size)
    infos = [info] if len(chunks) else []
    end = place_nodes(tree.root, chunk_size, TAR_BLOCK)
    image = dump_bootstrap(
        tree.root, end, chunks, infos, Compressor.NONE, Digester.SHA256, chunk_size, block_size=TAR_BLOCK
    )
    return tree.root, chunks, info.blob_id, image


def _append(chunks: ChunkList, offset: int, size: int, path: str) -> None:
    if len(chunks) >= MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"the tar has more than {MAX_CHUNKS_PER_BLOB} chunks: take larger ones", path=path)
    if offset // TAR_BLOCK >= 1 << 32:
        raise FormatError("the tar is too long for tarfs", path=path, offset=offset)
    chunks.blob.append(0)
    chunks.index.append(len(chunks.index))
    chunks.digest.append(bytes(32))
    chunks.crc32c.append(0)
    chunks.compressed_offset.append(offset)
    chunks.compressed_size.append(size)
    chunks.uncompressed_offset.append(offset)
    chunks.uncompressed_size.append(size)
    chunks.flags.append(0)


def _info(blob_id: str, size: int, count: int, chunk_size: int) -> BlobInfo:
    return BlobInfo(
        blob_index=0,
        blob_id=blob_id,
        features=BlobFeatures.CAP_TAR_TOC | BlobFeatures.TARFS,
        compressed_size=size,
        uncompressed_size=size,
        chunk_size=chunk_size,
        chunk_count=count,
        compressor=Compressor.NONE,
        digester=Digester.SHA256,
        meta_ci_compressor=Compressor.LZ4_BLOCK,  # of nothing: what the reference's header begins with
        meta_ci_offset=0,
        meta_ci_compressed_size=0,
        meta_ci_uncompressed_size=0,
    )
