"""Generating a chunk dict: a bootstrap of the chunks that several images share, to build others against.

Each chunk is a file of its own, called by its digest, so that the dict is an image like others:
it can be checked, mounted and merged.

Source: nydus ``builder/src/chunkdict_generator.rs``, which puts all chunks into one file.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.errors import ConfigError, UnsupportedError
from storage.image._open import Bootstrap
from storage.image.build import Node
from storage.image.verbs._chunk_lists import Gathered
from storage.image.verbs._merge import check_alike, dumped, opened

__all__ = ["ChunkDictMade", "chunkdict", "shared_chunks"]


@dataclass(frozen=True)
class ChunkDictMade:
    """A chunk dict.

    Attributes
    ----------
    bootstrap
        Its path.
    chunks, bytes
        How many there are, and their compressed bytes.
    blobs
        Ids of the blobs that they are in.
    """

    bootstrap: Path
    chunks: int
    bytes: int
    blobs: tuple[str, ...]


def chunkdict(images: Sequence[str | Path], out: str | Path, *, min_images: int = 2) -> ChunkDictMade:
    """Write the bootstrap of the chunks that at least `min_images` of the images use.

    Parameters
    ----------
    images
        See `storage.image.locate`; of the same chunk size and digests.
    out
        The file to write.

    Raises
    ------
    FormatError
        If an image cannot be read, or does not fit the others.
    UnsupportedError
        If they are tarfs, whose chunks have no digests.
    ConfigError
        If `out` cannot be written, or there are no images.
    """
    if not images:
        raise ConfigError("there are no images to take chunks from")
    layers = [opened(image, None) for image in images]
    check_alike(layers, images)
    if layers[0].is_tarfs:
        raise UnsupportedError("a tarfs has no digests to know chunks by", path=images[0])
    for layer in layers:
        layer.image()  # which checks the chunk table
    gathered = Gathered(layers)
    rows = shared_chunks(layers, gathered, min_images)
    made, infos = dumped(_tree(gathered, rows), gathered, layers[0])
    try:
        Path(out).write_bytes(made)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    size = int(gathered.records["compressed_size"][rows].sum()) if rows else 0
    return ChunkDictMade(Path(out), len(rows), size, tuple(info.blob_id for info in infos))


def shared_chunks(layers: Sequence[Bootstrap], gathered: Gathered, min_images: int) -> list[int]:
    """Rows of chunks whose digest at least `min_images` images have; of each digest the first."""
    counts: Counter[bytes] = Counter()
    first: dict[bytes, int] = {}
    for number, layer in enumerate(layers):
        used = np.unique(layer.extents.chunk)
        rows = gathered.rows_of(number)[used].tolist()
        digests = [gathered.records["digest"][row].tobytes() for row in rows]
        counts.update(set(digests))
        for digest, row in zip(digests, rows, strict=True):
            first.setdefault(digest, row)
    return [row for digest, row in first.items() if counts[digest] >= min_images]


def _tree(gathered: Gathered, rows: Sequence[int]) -> Node:
    """A directory of directories by the first byte, as a store of objects has it."""
    root = Node(name=b"", path="/", mode=stat.S_IFDIR | 0o755)
    folders: dict[bytes, Node] = {}
    for row in rows:
        record = gathered.records[row]
        name = record["digest"].tobytes().hex().encode()
        folder = folders.get(name[:2])
        if folder is None:
            folder = folders[name[:2]] = Node(name=name[:2], path=f"/{name[:2].decode()}", mode=stat.S_IFDIR | 0o755)
        path = f"{folder.path}/{name.decode()}"
        size = int(record["uncompressed_size"])
        folder.children.append(Node(name=name, path=path, mode=stat.S_IFREG | 0o444, size=size, chunks=[row]))
    root.children = [folders[name] for name in sorted(folders)]
    for folder in root.children:
        folder.children.sort(key=lambda node: node.name)
    return root
