"""A v6 image: chunks with their ``blob.meta``, and a bootstrap beside the blob or at its end.

Source: nydus ``builder/src/{directory,lib}.rs``, ``builder/src/core/blob.rs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from storage.image.build._blob import write_chunks
from storage.image.build._blob_meta import write_meta
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._chunk_dict import ChunkDict, used_infos
from storage.image.build._chunk_list import ChunkList
from storage.image.build._layout import place_nodes
from storage.image.build._node import Node
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._toc import Toc, write_bootstrap, write_toc

__all__ = ["write_v6"]

# A blob with its bootstrap in it cannot name itself there.
_ITSELF = "x" * 64


def write_v6(
    root: Node,
    files: Iterable[Node],
    out: Sink,
    recipe: Recipe,
    *,
    dictionary: ChunkDict | None = None,
    listed: Callable[[], Sequence[Node] | None] = lambda: None,
) -> tuple[ChunkList, str | None, bytes]:
    """Write the blob of a tree, and make its bootstrap.

    Parameters
    ----------
    root, files
        The tree, and its files with content in the order in which they are written.
    dictionary
        Chunks that need not be written.
    listed
        Says, when all chunks are written, which nodes the prefetch table has.

    Returns
    -------
    tuple
        The chunks, the blob's id or None where there is no blob, and the bootstrap.
    """
    toc = Toc()
    chunks = write_chunks(files, out, recipe, dictionary)
    own = write_meta(chunks, out, recipe, toc) if chunks.units else None
    if own is not None and recipe.toc and not recipe.inline:
        size, digest = write_toc(out, toc)
        own = replace(own, compressed_size=out.size, toc_size=size, toc_digest=digest)
    if own is not None:
        own = replace(own, blob_id=_ITSELF if recipe.inline else out.hexdigest())
    end = place_nodes(root, recipe.chunk_size)
    infos, options = used_infos(chunks, own, dictionary), (recipe.compressor, recipe.digester, recipe.chunk_size)
    image = dump_bootstrap(root, end, chunks, infos, *options, listed() or ())
    if not recipe.inline:
        return chunks, own.blob_id if own else None, image
    write_bootstrap(image, out, toc if recipe.toc else None)
    return chunks, out.hexdigest(), image
