"""Merging the bootstraps of layers into one: no blob is read.

Source: nydus ``builder/src/merge.rs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from storage.codec import Compressor, Digester
from storage.errors import ConfigError, FormatError, UnsupportedError
from storage.image._contents import file_range, read_toc
from storage.image._image import Image
from storage.image._locate import Located, locate
from storage.image._open import Bootstrap, open_bootstrap
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build import Node, image_tree
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._chunk_list import ChunkList
from storage.image.build._layout import place_nodes
from storage.image.build._node import walk
from storage.image.build._prefetch import arrange
from storage.image.build._v5_bootstrap import dump_bootstrap as v5_dump
from storage.image.verbs._chunk_lists import Gathered, chunk_list, in_order_of_use
from storage.image.verbs._overlay import overlay

__all__ = ["Merged", "algorithms", "check_alike", "dumped", "merge", "named", "opened"]

_ITSELF = "x" * 64  # how a blob with the bootstrap in it is called there


@dataclass(frozen=True)
class Merged:
    """What was merged.

    Attributes
    ----------
    bootstrap
        Its path.
    blobs
        Ids of the blobs that it uses.
    files
        How many there are.
    """

    bootstrap: Path
    blobs: tuple[str, ...]
    files: int


def merge(
    layers: Sequence[str | Path],
    out: str | Path,
    *,
    parent: str | Path | None = None,
    chunk_dict: str | Path | None = None,
    whiteouts: str = "oci",
    keep_whiteouts: bool = False,
    prefetch: Sequence[str] = (),
) -> Merged:
    """Merge layers, the lowest first, into one bootstrap.

    Parameters
    ----------
    layers
        Bootstraps, or blobs with one in them. Where a bootstrap does not say which blob it is in,
        it bears the blob's name.
    out
        The file to write.
    parent
        A bootstrap that lies below all layers.
    chunk_dict
        The bootstrap that the layers were built against: a layer may have its blobs beside its own.
    whiteouts, keep_whiteouts
        See `overlay`; the lowest tree is taken as it is.
    prefetch
        Paths of the prefetch table; what is not there is left out.

    Raises
    ------
    FormatError
        If a layer cannot be read, or does not fit the others.
    ConfigError
        If `out` cannot be written, or there are no layers.
    """
    if not layers:
        raise ConfigError("there are no layers to merge")
    shared = {info.blob_id for info in open_bootstrap(chunk_dict).infos} if chunk_dict else set[str]()
    stack = [opened(layer, shared) for layer in layers]
    if parent is not None:
        stack.insert(0, opened(parent, None))
    check_alike(stack, [*([parent] if parent is not None else []), *layers])
    images = [layer.image() for layer in stack]
    gathered = Gathered(stack)
    root = _tree(images, gathered, whiteouts, keep_whiteouts)
    image, infos = dumped(root, gathered, stack[-1], prefetch)
    try:
        Path(out).write_bytes(image)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return Merged(Path(out), tuple(info.blob_id for info in infos), 1 + sum(1 for _ in walk(root)))


def opened(path: str | Path, shared: set[str] | None) -> Bootstrap:
    """A layer whose blobs bear their names; `shared` are those it may have beside its own, None for any."""
    located = locate(path)
    bootstrap = open_bootstrap(located)
    infos = tuple(_sized(named(info, located.path), located) for info in bootstrap.infos)
    if shared is not None and sum(info.blob_id not in shared for info in infos) > 1:
        raise FormatError("a layer has several blobs that are not of the chunk dict", path=path)
    return replace(bootstrap, infos=infos)


def named(info: BlobInfo, path: Path) -> BlobInfo:
    """A blob as others know it: it is not said that its bootstrap is in it."""
    if not info.has_feature(BlobFeatures.INLINED_FS_META):
        return info
    name = path.stem if info.blob_id in ("", _ITSELF) else info.blob_id
    return replace(info, blob_id=name, features=info.features & ~BlobFeatures.INLINED_FS_META)


def _sized(info: BlobInfo, located: Located) -> BlobInfo:
    """With what a blob could not say of itself: how long it is, and the digest of its table of contents."""
    if not located.inlined or info.meta_blob_id != located.path.name:
        return info
    read, size = file_range(located.path)
    contents = read_toc(read, size)
    if contents is None:
        return replace(info, meta_size=size)
    return replace(info, meta_size=size, toc_size=contents.size, toc_digest=contents.digest)


def check_alike(layers: Sequence[Bootstrap], paths: Sequence[str | Path]) -> None:
    first = layers[0].block
    for layer, path in zip(layers, paths, strict=True):
        if type(layer.block) is not type(first):
            raise FormatError("is of another RAFS version than the layer below", path=path)
        if layer.block.chunk_size != first.chunk_size:
            what = f"has chunks of {layer.block.chunk_size} bytes, the layers below of {first.chunk_size}"
            raise FormatError(what, path=path, field="chunk_size")
        if layer.version == 5 and algorithms(layer.block.flags) != algorithms(first.flags):
            raise FormatError("has other algorithms than the layers below, and v5 has one of each", path=path)


def _tree(images: Sequence[Image], gathered: Gathered, whiteouts: str, keep: bool) -> Node:
    merged: Node | None = None
    for number, image in enumerate(images):
        tree = image_tree(image, Path(), gathered.rows_of(number))
        for node in walk(tree):  # the same row of two layers is not the same file
            node.identity = None if node.identity is None else (number, node.identity)
        merged = tree if merged is None else overlay(merged, tree, whiteouts, keep)
    assert merged is not None
    return merged


def dumped(
    root: Node, gathered: Gathered, last: Bootstrap, prefetch: Iterable[str] = ()
) -> tuple[bytes, tuple[BlobInfo, ...]]:
    """A bootstrap like `last` of a tree whose chunks were gathered, and the blobs that it uses."""
    nodes = [root, *walk(root)]
    order = in_order_of_use(gathered, (row for node in nodes for row in node.chunks))
    chunks: ChunkList = chunk_list(gathered, order)
    infos = tuple(replace(gathered.infos[blob], blob_index=at) for at, blob in enumerate(order))
    compressor, digester = algorithms(last.block.flags)
    chunk_size = last.block.chunk_size
    listed = arrange(root, prefetch).listed
    if not last.has_blob_meta:
        return v5_dump(root, chunks, infos, compressor, digester, chunk_size, listed), infos
    end = place_nodes(root, chunk_size)
    return dump_bootstrap(root, end, chunks, infos, compressor, digester, chunk_size, listed), infos


_COMPRESSORS = {0x1: Compressor.NONE, 0x2: Compressor.LZ4_BLOCK, 0x40: Compressor.GZIP, 0x80: Compressor.ZSTD}
_DIGESTERS = {0x4: Digester.BLAKE3, 0x8: Digester.SHA256}


def algorithms(flags: int) -> tuple[Compressor, Digester]:
    """What the superblock's flags name."""
    compressors = [value for bit, value in _COMPRESSORS.items() if flags & bit]
    digesters = [value for bit, value in _DIGESTERS.items() if flags & bit]
    if len(compressors) != 1 or len(digesters) != 1:
        raise UnsupportedError(f"the superblock's flags {flags:#x} name no one algorithm", field="flags")
    return compressors[0], digesters[0]
