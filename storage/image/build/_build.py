"""Building an image: as ``nydus-image create -t dir-rafs -v 6`` does, byte for byte."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from storage.codec import Compressor, Digester
from storage.errors import ConfigError, FormatError
from storage.image._ondisk import BLOCK_SIZE, MAX_CHUNK_SIZE
from storage.image.build._blob import write_blob
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._layout import place_nodes
from storage.image.build._node import Node, directory_tree, walk
from storage.image.build._tar_tree import TarTree

__all__ = ["BuildResult", "build"]


@dataclass(frozen=True)
class BuildResult:
    """What was built.

    Attributes
    ----------
    bootstrap, blob
        Their paths; no blob where no file has content.
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


def build(
    source: str | Path | Node | TarTree,
    out: str | Path,
    *,
    compressor: str = "zstd",
    digester: str = "blake3",
    chunk_size: int = 1 << 20,
    progress: bool = False,
) -> BuildResult:
    """Build a RAFS v6 image: ``out/bootstrap`` and ``out/blobs/<id>``.

    Parameters
    ----------
    source
        A directory, a tree from `directory_tree` or `image_tree`, or a tar that is being read.
    compressor
        ``none``, ``lz4_block``, ``gzip`` or ``zstd``.
    digester
        ``blake3`` or ``sha256``.
    chunk_size
        A power of two from 4 KiB to 16 MiB.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    FormatError
        If a file of the tree cannot be read; nothing is left in `out` then.
    ConfigError
        If an option is out of range, or `out` cannot be written.
    """
    if chunk_size & (chunk_size - 1) or not BLOCK_SIZE <= chunk_size <= MAX_CHUNK_SIZE:
        raise ConfigError(f"a chunk size of {chunk_size} is none: powers of two from 4 KiB to 16 MiB are")
    packer, hasher = Compressor.from_name(compressor), Digester.from_name(digester)
    root, files = _files(source, progress)
    blobs = Path(out) / "blobs"
    try:
        blobs.mkdir(parents=True, exist_ok=True)
        with _partial(blobs) as partial:
            chunks, info = write_blob(files, partial.file, packer, hasher, chunk_size)
            end = place_nodes(root, chunk_size)
            image = dump_bootstrap(root, end, chunks, info, packer, hasher, chunk_size)
            blob = blobs / info.blob_id if info else None
            partial.keep(blob)
        with _partial(Path(out)) as partial:
            partial.file.write(image)
            partial.keep(Path(out) / "bootstrap")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return BuildResult(
        bootstrap=Path(out) / "bootstrap",
        blob=blob,
        files=1 + sum(1 for _ in walk(root)),
        chunks=len(chunks),
        duplicates=chunks.duplicates,
        plain_bytes=sum(chunks.uncompressed_size),
        blob_bytes=info.compressed_size if info else 0,
    )


def _files(source: str | Path | Node | TarTree, progress: bool) -> tuple[Node, Iterator[Node]]:
    """The root, and the files with content in the order of the blob; a tar's root is whole when they are read."""
    if isinstance(source, TarTree):
        return source.root, _shown((node for node, _ in source.files()), None, progress)
    root = source if isinstance(source, Node) else directory_tree(source)
    _check_names(root)
    files = [node for node in walk(root) if node.is_reg and node.size > 0]
    return root, _shown(files, sum(node.size for node in files), progress)


def _check_names(root: Node) -> None:
    for node in walk(root):
        if not 0 < len(node.name) <= 255 or b"/" in node.name or b"\0" in node.name or node.name in (b".", b".."):
            raise FormatError("a name cannot be kept", path=node.path)


def _shown(files: Iterable[Node], total: int | None, progress: bool) -> Iterator[Node]:
    """The files, with a bar of bytes."""
    hidden = None if progress else True  # None: on a terminal only
    with tqdm(total=total, unit="B", unit_scale=True, desc="build", delay=2, leave=False, disable=hidden) as bar:
        for node in files:
            yield node
            bar.update(node.size)


class _partial:  # noqa: N801
    """A file under another name until it is kept."""

    def __init__(self, folder: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=folder)
        self.file = os.fdopen(descriptor, "wb", buffering=1 << 20)
        self._name: Path | None = Path(name)

    def keep(self, path: Path | None) -> None:
        """Give the file its name."""
        self.file.close()
        if path is not None and self._name is not None:
            self._name.chmod(0o644)
            self._name.replace(path)
            self._name = None

    def __enter__(self) -> _partial:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self._name is not None:
            self._name.unlink(missing_ok=True)
