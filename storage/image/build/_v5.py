"""A v5 image: chunks without a ``blob.meta``, and a bootstrap beside the blob or at its end.

Source: nydus ``builder/src/{directory,lib}.rs``, ``builder/src/core/blob.rs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from storage.codec import Compressor
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._blob import write_chunks
from storage.image.build._chunk_dict import ChunkDict, used_infos
from storage.image.build._chunk_list import OWN, ChunkList
from storage.image.build._node import Node
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._toc import tar_header
from storage.image.build._v5_bootstrap import dump_bootstrap

__all__ = ["chunks_alone", "write_v5"]

# A blob with its bootstrap in it cannot name itself there.
_ITSELF = "x" * 64


def write_v5(
    root: Node,
    files: Iterable[Node],
    out: Sink,
    recipe: Recipe,
    *,
    dictionary: ChunkDict | None = None,
    ahead: int = 0,
    listed: Callable[[], Sequence[Node] | None] = lambda: None,
) -> tuple[ChunkList, str | None, bytes]:
    """Write the blob of a tree, and make its bootstrap.

    Parameters
    ----------
    root, files
        The tree, and its files with content in the order in which they are written.
    dictionary
        Chunks that need not be written.
    ahead
        How many of the first files the blob table tells to be read ahead.
    listed
        Says, when all chunks are written, which nodes the prefetch table has; None for no table.

    Returns
    -------
    tuple
        The chunks, the blob's id or None where there is no blob, and the bootstrap.
    """
    leading = _Leading(files, ahead)
    chunks = write_chunks(leading, out, recipe, dictionary)
    own = chunks_alone(chunks, recipe) if chunks.units else None
    if own is not None:
        own = replace(own, blob_id=out.hexdigest(), prefetch_size=leading.stored(chunks))
    if own is not None and recipe.inline:
        out.write(tar_header("image.blob", out.size))
        features = own.features | BlobFeatures.INLINED_FS_META | BlobFeatures.HAS_TAR_HEADER
        own = replace(own, blob_id=_ITSELF, features=features, compressed_size=out.size)
    infos, options = used_infos(chunks, own, dictionary), (recipe.compressor, recipe.digester, recipe.chunk_size)
    image = dump_bootstrap(root, chunks, infos, *options, listed())
    if not recipe.inline:
        return chunks, own.blob_id if own else None, image
    out.write(image)
    out.write(tar_header("image.boot", len(image)))
    return chunks, out.hexdigest(), image


def chunks_alone(chunks: ChunkList, recipe: Recipe) -> BlobInfo:
    """The blob that was written, which has nothing but chunks; it has no id yet."""
    last = chunks.own[-1]
    end = chunks.uncompressed_offset[last] + chunks.uncompressed_size[last]
    return BlobInfo(
        blob_index=chunks.blobs.index(OWN),
        blob_id="",
        features=BlobFeatures.CAP_TAR_TOC,
        compressed_size=chunks.compressed_offset[last] + chunks.compressed_size[last],
        uncompressed_size=-(-end // 4096) * 4096 if recipe.aligned else end,
        chunk_size=recipe.chunk_size,
        chunk_count=len(chunks.own),
        compressor=recipe.compressor,
        digester=recipe.digester,
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
        self._first: list[Node] = []

    def __iter__(self) -> Iterator[Node]:
        for node in self._files:
            if len(self._first) < self._count:
                self._first.append(node)
            yield node

    def stored(self, chunks: ChunkList) -> int:
        """Bytes of their chunks, which come first and are written by now."""
        own = chunks.blobs.index(OWN)
        rows = (row for node in self._first for row in node.chunks if chunks.blob[row] == own)
        last = max(rows, default=-1)
        return 0 if last < 0 else chunks.compressed_offset[last] + chunks.compressed_size[last]
