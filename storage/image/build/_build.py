"""Building an image: as ``nydus-image create -t dir-rafs`` does, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from storage.codec import Cipher, Compressor, Digester
from storage.codec._cipher import IV_SIZE, KEY_SIZE
from storage.errors import ConfigError, FormatError
from storage.image.build._chunk_dict import ChunkDict
from storage.image.build._node import Node, directory_tree, walk
from storage.image.build._partial import Partial
from storage.image.build._prefetch import Prefetch, arrange
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._v5 import write_v5
from storage.image.build._v6 import write_v6
from storage.progress import progress_bar

__all__ = ["BuildResult", "StreamedTree", "build"]


@dataclass(frozen=True)
class BuildResult:
    """What was built.

    Attributes
    ----------
    bootstrap, blob
        Their paths; no blob where no file has content, and one path where the bootstrap is inline.
    files, chunks, duplicates
        How many; duplicates are chunks that were there already.
    plain_bytes, blob_bytes
        Bytes of content in distinct chunks, and of the blob.
    """

    bootstrap: Path
    blob: Path | None
    files: int
    chunks: int
    duplicates: int
    plain_bytes: int
    blob_bytes: int


class StreamedTree(Protocol):
    """A tree whose files are read in an order of its own.

    Attributes
    ----------
    root
        Whole once `nodes` is used up.
    """

    root: Node

    def nodes(self) -> Iterator[Node]:
        """Regular files with content, each to be read before the next one is asked for."""


def build(
    source: str | Path | Node | StreamedTree,
    out: str | Path,
    *,
    compressor: str = "zstd",
    digester: str = "blake3",
    chunk_size: int = 1 << 20,
    version: int = 6,
    inline: bool = False,
    toc: bool = False,
    aligned_chunk: bool = False,
    batch_size: int = 0,
    encrypt: bool | tuple[bytes, bytes] = False,
    chunk_dict: str | Path | None = None,
    prefetch: Sequence[str] = (),
    prefetch_policy: str = "none",
    progress: bool = False,
) -> BuildResult:
    """Build a RAFS image: ``out/bootstrap`` and ``out/blobs/<id>``.

    What is large is read and compressed by processes that are forked for it, on Linux and where no other
    thread runs; by threads elsewhere.

    Parameters
    ----------
    source
        A directory, a tree from `directory_tree` or `image_tree`, or one that is being
        read: `TarTree` or any other `StreamedTree`.
    compressor
        ``none``, ``lz4_block``, ``gzip`` or ``zstd``.
    digester
        ``blake3`` or ``sha256``.
    chunk_size
        A power of two from 4 KiB to 16 MiB.
    version
        Of RAFS: 5 or 6.
    inline
        Whether the bootstrap goes to the end of the blob, instead of a file of its own.
    toc
        v6: whether the blob ends with digests of its chunks and a table of contents.
    aligned_chunk
        v5: whether chunks begin at multiples of 4096 in the uncompressed blob, as v6's do.
    batch_size
        v6: files smaller than half of it are compressed together, up to it; 0 for each alone.
    encrypt
        v6: whether to encrypt with AES-128-XTS: with random key and tweak, or with those given.
        They stand in the bootstrap, which then is what is to be kept secret.
    chunk_dict
        The bootstrap of an image of the same version, whose chunks are used where they are instead of written.
    prefetch
        Absolute paths within the tree, whose files go first into the blob; those of a tar stay where they are.
    prefetch_policy
        ``fs`` lists what `prefetch` names in the bootstrap, ``blob`` has v5's blob table tell
        how much of the blob to read ahead, ``none`` leaves `prefetch` aside.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    FormatError
        If a file of the tree cannot be read; nothing is left in `out` then.
    ConfigError
        If an option is out of range, or `out` cannot be written.
    """
    if version not in (5, 6):
        raise ConfigError(f"there is no RAFS v{version} to be built: 5 and 6 are", field="version")
    if prefetch_policy not in ("none", "fs", "blob"):
        raise ConfigError(f"no prefetch policy is called {prefetch_policy!r}; there are none, fs, blob")
    if version == 6 and aligned_chunk:
        raise ConfigError("chunks of v6 are aligned", field="aligned_chunk")
    if version == 5 and (batch_size or encrypt or toc):
        raise ConfigError("batches, encryption and tables of contents are of v6", field="version")
    key, iv = encrypt if isinstance(encrypt, tuple) else (os.urandom(KEY_SIZE), os.urandom(IV_SIZE))
    recipe = Recipe(
        Compressor.from_name(compressor),
        Digester.from_name(digester),
        chunk_size,
        aligned=version == 6 or aligned_chunk,
        batch_size=batch_size,
        cipher=Cipher.AES128XTS if encrypt else Cipher.NONE,
        key=key if encrypt else b"",
        iv=iv if encrypt else b"",
        inline=inline,
        toc=toc,
    )
    dictionary = ChunkDict(chunk_dict) if chunk_dict else None
    if dictionary is not None:
        dictionary.check(version, recipe.compressor, recipe.digester, chunk_size)
    root, order = _ordered(source, prefetch if prefetch_policy != "none" else (), prefetch_policy)

    def listed() -> list[Node] | None:  # of a tar, whose root is whole when its files are written
        return (order or arrange(root, prefetch)).listed if prefetch_policy == "fs" else None

    blobs = Path(out) / "blobs"
    try:
        blobs.mkdir(parents=True, exist_ok=True)
        with Partial(blobs, buffering=0) as partial, Sink(partial.file) as sink:
            shown = _files(source, order, progress)
            if version == 5:
                ahead = order.first if order and prefetch_policy == "blob" else 0
                chunks, blob_id, image = write_v5(
                    root, shown, sink, recipe, dictionary=dictionary, ahead=ahead, listed=listed
                )
            else:
                chunks, blob_id, image = write_v6(root, shown, sink, recipe, dictionary=dictionary, listed=listed)
            blob = blobs / blob_id if blob_id else None
            sink.close()
            partial.keep(blob)
        if not inline:
            with Partial(Path(out)) as partial:
                partial.file.write(image)
                partial.keep(Path(out) / "bootstrap")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return BuildResult(
        bootstrap=blob if inline and blob else Path(out) / "bootstrap",
        blob=blob,
        files=1 + sum(1 for _ in walk(root)),
        chunks=len(chunks),
        duplicates=chunks.duplicates,
        plain_bytes=sum(unit.plain_size for unit in chunks.units),
        blob_bytes=sink.size if blob else 0,
    )


def _ordered(
    source: str | Path | Node | StreamedTree, prefetch: Sequence[str], policy: str
) -> tuple[Node, Prefetch | None]:
    """The root, and its files in the order of the blob; a tar's order is its own, as its root grows."""
    if not isinstance(source, (str, Path, Node)):
        if prefetch and policy == "blob":
            raise ConfigError("files of a tar are written as they come, whatever is to be read ahead", field="prefetch")
        return source.root, None
    if isinstance(source, Node):
        _check_names(source)
        return source, arrange(source, prefetch)
    root = directory_tree(source)
    return root, arrange(root, prefetch)


def _files(source: str | Path | Node | StreamedTree, order: Prefetch | None, progress: bool) -> Iterator[Node]:
    if not isinstance(source, (str, Path, Node)):
        return _shown(source.nodes(), None, progress)
    files = order.files if order else []
    return _shown(files, sum(node.size for node in files), progress)


def _check_names(root: Node) -> None:
    for node in walk(root):
        if not 0 < len(node.name) <= 255 or b"/" in node.name or b"\0" in node.name or node.name in (b".", b".."):
            raise FormatError("a name cannot be kept", path=node.path)


def _shown(files: Iterable[Node], total: int | None, progress: bool) -> Iterator[Node]:
    """The files one by one, with a bar of bytes."""
    with progress_bar(progress, total, "build") as move:
        for node in files:
            yield node
            move(node.size)
