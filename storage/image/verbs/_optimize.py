"""Optimizing: what a container reads at its start, in a blob of its own that can be fetched at once.

Source: nydus ``builder/src/optimize_prefetch.rs``.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError, PathError, UnsupportedError
from storage.image._image import Image
from storage.image._source import BlobSource
from storage.image.blob_info import BlobFeatures
from storage.image.verbs._rebuild import Rebuilt, rebuild

__all__ = ["FileRanges", "optimize", "parse_prefetch_files", "to_prefetch"]


class FileRanges(NamedTuple):
    """A file, or parts of one.

    Attributes
    ----------
    path
        Absolute.
    ranges
        Offsets and lengths in bytes; None for the whole file.
    """

    path: str
    ranges: tuple[tuple[int, int], ...] | None = None


def parse_prefetch_files(text: str) -> list[FileRanges]:
    """The reference's JSON: ``{"version": "v1", "files": [{"path": "/a", "ranges": [[0, 4096]]}]}``.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        content = json.loads(text)
        files = [_file(entry) for entry in content["files"]]
        version = content.get("version")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"is not a list of prefetch files: {type(error).__name__} {error}") from error
    if version != "v1":
        raise UnsupportedError(f"prefetch files of version {version!r} are unknown: v1 are known", field="version")
    return files


def _file(entry: dict[str, object]) -> FileRanges:
    path, ranges = entry["path"], entry.get("ranges")
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError(f"{path!r} is not an absolute path")
    if ranges is None:
        return FileRanges(path)
    if not isinstance(ranges, list):
        raise TypeError("ranges are a list")
    pairs = tuple((int(offset), int(length)) for offset, length in ranges)
    if any(offset < 0 or length < 0 for offset, length in pairs):
        raise ValueError("a range is negative")
    return FileRanges(path, pairs)


def to_prefetch(image: Image, files: Iterable[FileRanges]) -> npt.NDArray[np.int64]:
    """Chunks of these files, in their order, each once; what is no regular file of the image is left out."""
    found: dict[int, None] = {}
    for file in files:
        try:
            row = image.lookup(file.path)
        except PathError:
            continue
        if not stat.S_ISREG(int(image.inodes.mode[row])):
            continue
        size = int(image.inodes.size[row])
        for offset, length in ((0, size),) if file.ranges is None else file.ranges:
            found.update(dict.fromkeys(image.segments(row, offset, min(length, size))[0]))
    return np.array(list(found), np.int64)


def optimize(
    path: str | Path,
    out: str | Path,
    files: Sequence[FileRanges],
    blobs: str | Path | BlobSource | None = None,
    *,
    progress: bool = False,
) -> Rebuilt:
    """Write an image anew whose files' chunks are in a blob of their own, for a daemon to fetch first.

    Parameters
    ----------
    path, blobs
        See `storage.image.locate`.
    out
        A folder for the bootstrap and its blobs.
    files
        In the order in which they are needed; see `parse_prefetch_files`.

    Raises
    ------
    UnsupportedError, FormatError, MissingBlobError, IntegrityError, ConfigError
        See `rebuild`.
    """
    feature = BlobFeatures.IS_SEPARATED_WITH_PREFETCH_FILES
    return rebuild(path, out, blobs, lambda image: to_prefetch(image, files), feature, progress=progress)
