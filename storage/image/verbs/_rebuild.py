"""An image with some of its chunks moved to a new blob: what `compact` and `optimize` do once they have chosen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError, UnsupportedError
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._locate import Located, locate
from storage.image._ondisk import BLOCK_SIZE
from storage.image._open import Bootstrap, open_bootstrap, open_image
from storage.image._source import BlobSource, save_blob
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build import Node, image_tree
from storage.image.build._blob_meta import write_meta
from storage.image.build._bootstrap import dump_bootstrap
from storage.image.build._chunk_list import OWN
from storage.image.build._layout import place_nodes
from storage.image.build._prefetch import arrange
from storage.image.build._sink import Sink
from storage.image.build._toc import Toc
from storage.image.build._v5 import chunks_alone
from storage.image.build._v5_bootstrap import dump_bootstrap as v5_dump
from storage.image.verbs._inspect import paths_by_row
from storage.image.verbs._merge import algorithms, named
from storage.image.verbs._moved import keep_others, move_chunks, recipe_like
from storage.progress import progress_bar

__all__ = ["Rebuilt", "rebuild"]

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rebuilt:
    """What was made of an image.

    Attributes
    ----------
    bootstrap, blob
        The new files; no blob where no chunk was moved.
    blobs
        Ids of all blobs that the new image uses.
    moved, moved_bytes
        Chunks in the new blob, and its bytes.
    bytes_before, bytes_after
        Of all blobs that the image uses.
    """

    bootstrap: Path
    blob: Path | None
    blobs: tuple[str, ...]
    moved: int
    moved_bytes: int
    bytes_before: int
    bytes_after: int


def rebuild(
    path: str | Path,
    out: str | Path,
    blobs: str | Path | BlobSource | None,
    choose: Callable[[Image], I64],
    features: BlobFeatures = BlobFeatures(0),  # noqa: B008
    *,
    progress: bool = False,
) -> Rebuilt:
    """Write ``out/bootstrap``, and to ``out/blobs`` the chunks that `choose` names, beside the blobs still needed.

    Parameters
    ----------
    path, blobs
        See `storage.image.locate`.
    choose
        From an image to the rows of its chunk table that are moved, in their new order.
    features
        What the new blob has besides.

    Raises
    ------
    UnsupportedError
        If it is a tarfs.
    FormatError, MissingBlobError, IntegrityError
        If the image cannot be read.
    ConfigError
        If `out` cannot be written.
    """
    located = locate(path, blobs)
    bootstrap, image, out = open_bootstrap(located), open_image(path, blobs), Path(out)
    if image.block_size != BLOCK_SIZE:
        raise UnsupportedError("is a tarfs, whose blobs are tars", path=path)
    infos = tuple(named(info, located.path) for info in bootstrap.infos)
    moved = choose(image)
    try:
        (out / "blobs").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
            partial = Path(folder) / "blob"
            made, new, info = _write(bootstrap, image, infos, located, moved, features, partial, progress)
            blob = out / "blobs" / info.blob_id if info else None
            if blob:
                partial.replace(blob)
            for kept in new:
                if kept is not info:
                    _take_over(located.blobs, kept.blob_id, out / "blobs" / kept.blob_id)
            (Path(folder) / "bootstrap").write_bytes(made)
            (Path(folder) / "bootstrap").replace(out / "bootstrap")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return Rebuilt(
        bootstrap=out / "bootstrap",
        blob=blob,
        blobs=tuple(each.blob_id for each in new),
        moved=info.chunk_count if info else 0,
        moved_bytes=info.compressed_size if info else 0,
        bytes_before=sum(each.compressed_size for each in infos),
        bytes_after=sum(each.compressed_size for each in new),
    )


def _write(
    bootstrap: Bootstrap,
    image: Image,
    infos: Sequence[BlobInfo],
    located: Located,
    moved: I64,
    features: BlobFeatures,
    partial: Path,
    progress: bool,
) -> tuple[bytes, list[BlobInfo], BlobInfo | None]:
    """The new bootstrap, its blobs, and the new one of them, written to `partial`."""
    rows, chunks = keep_others(bootstrap, image, moved)
    info: BlobInfo | None = None
    if len(moved):
        recipe = recipe_like(infos[int(image.chunks.blob[moved[0]])])
        with partial.open("wb") as file, Sink(file) as sink, ChunkReader(image, located.blobs) as reader:
            move_chunks(image, reader, _shown(moved, progress), recipe, rows, chunks, sink)
            info = write_meta(chunks, sink, recipe, Toc()) if image.version == 6 else chunks_alone(chunks, recipe)
            info = replace(info, blob_id=sink.hexdigest(), features=info.features | features)
    new = [
        replace(info if blob == OWN and info else infos[blob], blob_index=at) for at, blob in enumerate(chunks.blobs)
    ]
    root = image_tree(image, located.blobs, rows)
    listed = _listed(image, root)
    compressor, digester = algorithms(bootstrap.block.flags)
    options = (compressor, digester, image.chunk_size)
    if image.version == 5:
        made = v5_dump(root, chunks, new, *options, listed or None)
    else:
        made = dump_bootstrap(root, place_nodes(root, image.chunk_size), chunks, new, *options, listed)
    own = next((each for each, blob in zip(new, chunks.blobs, strict=True) if blob == OWN), None)
    return made, new, own


def _shown(rows: I64, progress: bool) -> Iterator[int]:
    """Rows one by one, with a bar if it takes long."""
    with progress_bar(progress, len(rows), "move", "chunk") as move:
        for row in rows.tolist():
            yield row
            move(1)


def _listed(image: Image, root: Node) -> list[Node]:
    """The nodes of the prefetch table."""
    wanted = image.prefetch.tolist()
    paths = paths_by_row(image, set(wanted))
    return arrange(root, [paths[row][0] for row in wanted if paths[row]]).listed


def _take_over(blobs: Path | BlobSource, blob_id: str, target: Path) -> None:
    """Have a blob in another folder too: by another name of the file where that is possible."""
    if target.exists():
        return
    if not isinstance(blobs, Path):
        save_blob(blobs, blob_id, target)
        return
    source = blobs / blob_id
    if not source.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
