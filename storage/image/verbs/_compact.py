"""Compacting: blobs that an image uses little of are left behind, and what it uses of them goes to a new one.

Source: nydus ``builder/src/compact.rs``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError
from storage.image._image import Image
from storage.image._source import BlobSource
from storage.image.verbs._rebuild import Rebuilt, rebuild

__all__ = ["compact", "to_compact"]


def to_compact(image: Image, min_used: float) -> npt.NDArray[np.int64]:
    """Chunks that files use of blobs of which less than the share `min_used` is used.

    By bytes uncompressed; of v5, whose images do not tell of chunks that no file uses, by bytes as stored.
    """
    chunks, count = image.chunks, len(image.infos)
    used = np.zeros(len(chunks), np.bool_)
    used[image.extents.chunk] = True
    size = chunks.uncompressed_size if image.version == 6 else chunks.compressed_size
    whole = np.bincount(chunks.blob, size, count) if image.version == 6 else image.blobs.compressed_size
    share = np.bincount(chunks.blob, np.where(used, size, 0), count) / np.maximum(whole, 1)
    rows: npt.NDArray[np.int64] = np.flatnonzero(used & (share < min_used)[chunks.blob])
    return rows


def compact(
    path: str | Path,
    out: str | Path,
    blobs: str | Path | BlobSource | None = None,
    *,
    min_used: float = 1.0,
    progress: bool = False,
) -> Rebuilt:
    """Write an image anew without chunks that no file uses.

    Parameters
    ----------
    path, blobs
        See `storage.image.locate`.
    out
        A folder for the bootstrap and its blobs.
    min_used
        Blobs of which at least this share is used stay as they are; 1 for those without any waste.

    Raises
    ------
    ConfigError
        If `min_used` is no share, or `out` cannot be written.
    UnsupportedError, FormatError, MissingBlobError, IntegrityError
        See `rebuild`.
    """
    if not 0 <= min_used <= 1:
        raise ConfigError(f"{min_used} is no share: say one from 0 to 1", field="min_used")
    return rebuild(path, out, blobs, lambda image: to_compact(image, min_used), progress=progress)
