"""A v5 image: chunks without a ``blob.meta``, and a bootstrap beside the blob or at its end.

Source: nydus ``builder/src/{directory,lib}.rs``, ``builder/src/core/blob.rs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from storage.codec import Compressor, Digester
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._blob import ChunkList, Sink, write_chunks
from storage.image.build._node import Node
from storage.image.build._v5_bootstrap import dump_bootstrap

__all__ = ["tar_header", "write_v5"]

# A blob with its bootstrap in it cannot name itself there.
_ITSELF = "x" * 64


def write_v5(
    root: Node,
    files: Iterable[Node],
    out: Sink,
    compressor: Compressor,
    digester: Digester,
    chunk_size: int,
    *,
    inline: bool = False,
    aligned_chunk: bool = False,
    ahead: int = 0,
    listed: Sequence[Node] | None = None,
) -> tuple[ChunkList, str | None, bytes]:
    """Write the blob of a tree, and make its bootstrap.

    Parameters
    ----------
    root, files
        The tree, and its files with content in the order in which they are written.
    inline
        Whether the bootstrap goes into the blob.
    aligned_chunk
        Whether chunks begin at multiples of 4096 in the uncompressed blob.
    ahead
        How many of the first files the blob table tells to be read ahead.
    listed
        Nodes of the prefetch table; None for no table.

    Returns
    -------
    tuple
        The chunks, the blob's id or None where there is no blob, and the bootstrap.
    """
    leading = _Leading(files, ahead)
    chunks = write_chunks(leading, out, compressor, digester, chunk_size, aligned_chunk)
    info = _info(chunks, compressor, digester, chunk_size, aligned_chunk) if len(chunks) else None
    if info is not None:
        info = replace(info, blob_id=out.hexdigest(), prefetch_size=leading.stored(chunks))
    if not inline:
        image = dump_bootstrap(root, chunks, [info] if info else [], compressor, digester, chunk_size, listed)
        return chunks, info.blob_id if info else None, image
    if info is not None:
        out.write(tar_header("image.blob", out.size))
        features = info.features | BlobFeatures.INLINED_FS_META | BlobFeatures.HAS_TAR_HEADER
        info = replace(info, blob_id=_ITSELF, features=features, compressed_size=out.size)
    image = dump_bootstrap(root, chunks, [info] if info else [], compressor, digester, chunk_size, listed)
    out.write(image)
    out.write(tar_header("image.boot", len(image)))
    return chunks, out.hexdigest(), image


def _info(
    chunks: ChunkList, compressor: Compressor, digester: Digester, chunk_size: int, aligned_chunk: bool
) -> BlobInfo:
    end = chunks.uncompressed_offset[-1] + chunks.uncompressed_size[-1]
    return BlobInfo(
        blob_index=0,
        blob_id="",
        features=BlobFeatures.CAP_TAR_TOC,
        compressed_size=chunks.compressed_offset[-1] + chunks.compressed_size[-1],
        uncompressed_size=-(-end // 4096) * 4096 if aligned_chunk else end,
        chunk_size=chunk_size,
        chunk_count=len(chunks),
        compressor=compressor,
        digester=digester,
        meta_ci_compressor=Compressor.NONE,
        meta_ci_offset=0,
        meta_ci_compressed_size=0,
        meta_ci_uncompressed_size=0,
    )


class _Leading:
    """Files, and of the first few what they come to in the blob."""

    def __init__(self, files: Iterable[Node], count: int) -> None:
        self._files = files
        self._count = count
        self._last = -1

    def __iter__(self) -> Iterator[Node]:
        for number, node in enumerate(self._files):
            yield node
            if number < self._count:
                self._last = max([self._last, *node.chunks])

    def stored(self, chunks: ChunkList) -> int:
        """Bytes of their chunks, which come first."""
        if self._last < 0:
            return 0
        return chunks.compressed_offset[self._last] + chunks.compressed_size[self._last]


def tar_header(name: str, size: int) -> bytes:
    """The header that stands behind a file in a blob."""
    header = bytearray(512)
    fields = {0: name.encode(), 124: b"%011o" % size, 136: b"%011o" % 0, 156: b"0", 257: b"ustar  "}
    for at, value in fields.items():
        header[at : at + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%07o\0" % sum(header)
    return bytes(header)
