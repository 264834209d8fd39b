"""Checking an image: every pointer, size, name and link count, and on demand every chunk.

Source: nydus ``src/bin/nydus-image/validator.rs``, which loads the tree and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from storage.errors import MissingBlobError, StorageError
from storage.image._image import Image
from storage.image._locate import Located, locate
from storage.image._open import Bootstrap, open_bootstrap, open_image
from storage.image._source import BlobSource
from storage.image.verbs._deep import verify_chunks
from storage.image.verbs._erofs import erofs_problems
from storage.image.verbs._report import MAX_PROBLEMS, Problem, Report, problem_of
from storage.image.verbs._tables import table_problems

__all__ = ["check"]


def check(
    path: str | Path, blobs: str | Path | BlobSource | None = None, *, deep: bool = False, progress: bool = False
) -> Report:
    """Check an image, and say all that is wrong with it.

    Parameters
    ----------
    path, blobs
        See `storage.image.locate`.
    deep
        Whether to fetch, decompress and verify every chunk.
    progress
        Whether to show a bar, if it takes long.

    Returns
    -------
    Report
        An image that cannot be opened has one problem: the first that opening met.
    """
    try:
        located = locate(path, blobs)
        bootstrap = open_bootstrap(located)
    except StorageError as error:
        return Report((problem_of(error, "open"),))
    try:
        image = open_image(path, blobs)
    except StorageError as error:
        return _report(bootstrap, [problem_of(error, "open")])
    found = list(islice(_problems(bootstrap, image, located), MAX_PROBLEMS))
    if not deep:
        return _report(bootstrap, found)
    more, verified, size = verify_chunks(image, located.blobs, progress)
    return _report(bootstrap, found + more, verified, size)


def _problems(bootstrap: Bootstrap, image: Image, located: Located) -> Iterator[Problem]:
    try:
        yield from table_problems(image)
        if bootstrap.version == 6:
            yield from erofs_problems(bootstrap, image.chunks)
        yield from _blobs(bootstrap, located)
    except StorageError as error:
        yield problem_of(error, "pointer")


def _blobs(bootstrap: Bootstrap, located: Located) -> Iterator[Problem]:
    for info in bootstrap.infos:
        try:
            size = _size_of(located.blobs, info.blob_id)
        except (OSError, MissingBlobError):  # a missing one is a problem only when its chunks are asked for
            continue
        if size < info.compressed_size:
            yield Problem("blob", f"is {size} bytes long where {info.compressed_size} are right", info.blob_id)


def _size_of(blobs: Path | BlobSource, blob_id: str) -> int:
    return (blobs / blob_id).stat().st_size if isinstance(blobs, Path) else blobs.get_reader(blob_id).blob_size()


def _report(bootstrap: Bootstrap, problems: list[Problem], verified: int = 0, size: int = 0) -> Report:
    compressors = {str(info.compressor) for info in bootstrap.infos}
    return Report(
        problems=tuple(problems),
        version=bootstrap.version,
        compressor=", ".join(sorted(compressors)),
        blobs=tuple(info.blob_id for info in bootstrap.infos),
        files=len(bootstrap.entries) + 1,
        chunks=int(bootstrap.blobs.chunk_count.sum()),
        verified=verified,
        verified_bytes=size,
    )
