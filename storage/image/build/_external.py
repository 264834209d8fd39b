"""A tree some of whose files lie in blobs of others: one image of the rest, and one of those.

Nothing of external blobs is read. Chunks are known by their place, and by a CRC32C where it is told.

Source: nydus ``builder/src/directory.rs`` (`external_tree`), ``builder/src/core/node.rs``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from storage.codec import Compressor, Digester
from storage.errors import ConfigError
from storage.image._ondisk import CHUNK_HAS_CRC32, MAX_CHUNKS_PER_BLOB
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._attributes import ExternalFile, parse_attributes
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._build import BuildResult, build
from storage.image.build._chunk_list import ChunkList
from storage.image.build._layout import place_nodes
from storage.image.build._node import Node, directory_tree, walk
from storage.image.build._partial import Partial
from storage.image.build._prefetch import arrange

__all__ = ["ExternalBuilt", "build_external"]

_FEATURES = BlobFeatures.ALIGNED | BlobFeatures.CAP_TAR_TOC | BlobFeatures.EXTERNAL


class ExternalBuilt(NamedTuple):
    """The image of what is not external; the bootstrap of what is, and its blobs' ids."""

    built: BuildResult
    bootstrap: Path
    blobs: tuple[str, ...]


def build_external(source: str | Path | Node, out: str | Path, attributes: str | Path, **options: Any) -> ExternalBuilt:
    """Build ``out/bootstrap`` with ``out/blobs``, and ``out/bootstrap.external``.

    Merged, they are one image, whose external blobs are read from another backend.

    Parameters
    ----------
    source
        A directory or a tree; external files may be empty in it.
    attributes
        See `parse_attributes`.
    **options
        Of `build`; the image is a v6 one.

    Raises
    ------
    ConfigError
        If attributes contradict one another or the tree.
    FormatError
        See `build`.
    """
    files = parse_attributes(attributes)
    sizes = {file.chunk_size for file in files.values()}
    if len(sizes) != 1:
        raise ConfigError(f"external files are in chunks of {len(sizes)} sizes, and one is wanted", path=attributes)
    if options.get("version", 6) != 6:
        raise ConfigError("external blobs are built for RAFS v6", field="version")
    root = source if isinstance(source, Node) else directory_tree(source)
    outside = _outside(root, files)
    missing = files.keys() - {node.path for node in walk(outside)}
    if missing:
        raise ConfigError("is not a file of the tree", path=min(missing))
    (chunk_size,) = sizes
    image, infos = _dumped(outside, files, chunk_size, options.get("digester", "blake3"))
    built = build(_inside(root, files), out, **options)
    try:
        with Partial(Path(out)) as partial:
            partial.file.write(image)
            partial.keep(Path(out) / "bootstrap.external")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return ExternalBuilt(built, Path(out) / "bootstrap.external", tuple(info.blob_id for info in infos))


def _inside(folder: Node, files: Mapping[str, ExternalFile], path: str = "") -> Node:
    """The tree without external files."""
    children = []
    for node in folder.children:
        below = f"{path}/{_shown(node)}"
        if node.is_dir:
            children.append(_inside(node, files, below))
        elif not (node.is_reg and below in files):
            children.append(node)
    return replace(folder, children=children)


def _outside(folder: Node, files: Mapping[str, ExternalFile], path: str = "") -> Node:
    """External files, by their paths in the tree, and the folders that lead to them."""
    children = []
    for node in folder.children:
        below = f"{path}/{_shown(node)}"
        if node.is_dir:
            kept = _outside(node, files, below)
            children += [kept] if kept.children else []
        elif node.is_reg and below in files:
            size = node.size or files[below].size
            children.append(replace(node, path=below, size=size, chunks=[], identity=None))
    return replace(folder, children=children)


def _shown(node: Node) -> str:
    return node.name.decode("utf-8", "surrogateescape")


def _dumped(
    root: Node, files: Mapping[str, ExternalFile], chunk_size: int, digester: str
) -> tuple[bytes, list[BlobInfo]]:
    chunks, counts = ChunkList(), dict[int, int]()
    nodes = arrange(root).files
    for node in nodes:
        _append(chunks, node, files[node.path], counts)
    _check_apart((files[node.path], node) for node in nodes)
    named = Digester.from_name(digester)
    infos = _infos(files, counts, chunk_size, named)
    options = (Compressor.NONE, named, chunk_size)
    return dump_bootstrap(root, place_nodes(root, chunk_size), chunks, infos, *options), infos


def _check_apart(placed: Iterable[tuple[ExternalFile, Node]]) -> None:
    """No two files of a blob share bytes of it."""
    ends: dict[int, int] = {}
    for file, node in sorted(placed, key=lambda pair: (pair[0].blob_index, pair[0].offset)):
        if file.offset < ends.get(file.blob_index, 0):
            raise ConfigError("overlaps the file before it in its blob", path=node.path)
        ends[file.blob_index] = file.offset + node.size


def _append(chunks: ChunkList, node: Node, file: ExternalFile, counts: dict[int, int]) -> None:
    """Say where the chunks of a file are, numbered as files come; their digests are not known."""
    number = -(-node.size // file.chunk_size)
    if file.offset + node.size > file.blob_size:
        raise ConfigError(f"{node.size} bytes from {file.offset} are not in its blob", path=node.path)
    if file.crcs and len(file.crcs) != number:
        raise ConfigError(f"{len(file.crcs)} CRC32C are told of {number} chunks", path=node.path)
    for at in range(number):
        index = counts.get(file.blob_index, 0)
        if index >= MAX_CHUNKS_PER_BLOB:
            raise ConfigError(f"more than {MAX_CHUNKS_PER_BLOB} chunks are in one blob", path=node.path)
        size, offset = min(file.chunk_size, node.size - at * file.chunk_size), file.offset + at * file.chunk_size
        row = chunks.append(
            file.blob_index,
            bytes(32),
            index=index,
            crc32c=file.crcs[at] if file.crcs else 0,
            flags=CHUNK_HAS_CRC32 if file.crcs else 0,
            compressed_offset=offset,
            compressed_size=size,
            uncompressed_offset=offset,
            uncompressed_size=size,
        )
        chunks.blob[row] = file.blob_index
        counts[file.blob_index] = index + 1
        node.chunks.append(row)


def _infos(
    files: Mapping[str, ExternalFile], counts: Mapping[int, int], chunk_size: int, digester: Digester
) -> list[BlobInfo]:
    by_index: dict[int, tuple[str, int]] = {}
    for path, file in files.items():
        if by_index.setdefault(file.blob_index, (file.blob_id, file.blob_size)) != (file.blob_id, file.blob_size):
            raise ConfigError(f"blob {file.blob_index} is told to be two", path=path)
    if sorted(by_index) != list(range(len(by_index))):
        raise ConfigError(f"blobs {sorted(by_index)} are not numbered from 0", field="blob_index")
    return [
        BlobInfo(
            blob_index=index,
            blob_id=by_index[index][0],
            features=_FEATURES,
            compressed_size=by_index[index][1],
            uncompressed_size=by_index[index][1],
            chunk_size=chunk_size,
            chunk_count=counts.get(index, 0),
            compressor=Compressor.NONE,
            digester=digester,
            meta_ci_compressor=Compressor.NONE,
            meta_ci_offset=0,
            meta_ci_compressed_size=0,
            meta_ci_uncompressed_size=0,
        )
        for index in sorted(by_index)
    ]
