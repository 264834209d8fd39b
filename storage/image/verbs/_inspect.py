"""Looking into a bootstrap: its blobs, its prefetch table, one file, who uses a chunk.

Source: nydus ``src/bin/nydus-image/inspect.rs``.
"""

from __future__ import annotations

import stat
from typing import Any

import numpy as np

from storage.errors import FormatError
from storage.image._image import Image

__all__ = ["inspect_blobs", "inspect_chunk", "inspect_file", "inspect_prefetch"]


def inspect_blobs(image: Image) -> list[dict[str, Any]]:
    """The blob table, one object a blob, by upstream's names."""
    return [
        {
            "blob_id": info.blob_id,
            "compressed_size": info.compressed_size,
            "decompressed_size": info.uncompressed_size,
            "readahead_offset": info.prefetch_offset,
            "readahead_size": info.prefetch_size,
        }
        for info in image.infos
    ]


def inspect_prefetch(image: Image) -> list[dict[str, Any]]:
    """The prefetch table: each inode with all its paths, folders with a slash at their end."""
    if not len(image.prefetch):
        return []
    paths = _paths_by_row(image, set(image.prefetch.tolist()))
    return [{"inode": int(image.inodes.nid[row]), "path": paths[row]} for row in image.prefetch.tolist()]


def inspect_file(image: Image, path: str) -> list[dict[str, Any]]:
    """The chunks of a file, in its order.

    Raises
    ------
    PathError
        If there is no such file.
    """
    row = image.lookup(path)
    first, count = int(image.inodes.first_extent[row]), int(image.inodes.extents[row])
    return [
        {"file_offset": int(image.extents.offset[at]), **_chunk(image, int(image.extents.chunk[at]))}
        for at in range(first, first + count)
    ]


def inspect_chunk(image: Image, blob: int, offset: int) -> dict[str, Any]:
    """The chunk at a compressed offset of a blob, and the paths of the files that use it.

    Parameters
    ----------
    blob
        Index in the blob table.
    offset
        In bytes; any byte of the chunk.

    Raises
    ------
    FormatError
        If there is none there.
    """
    chunks = image.chunks
    inside = (chunks.blob == blob) & (chunks.compressed_offset <= offset)
    inside &= offset < chunks.compressed_offset + chunks.compressed_size
    if not inside.any():
        raise FormatError("no chunk lies there", blob=blob, offset=offset)
    row = int(np.flatnonzero(inside)[0])
    users = set(image.extents.inode[image.extents.chunk == row].tolist())
    paths = _paths_by_row(image, users)
    return {**_chunk(image, row), "files": sorted(path for found in paths.values() for path in found)}


def _chunk(image: Image, row: int) -> dict[str, Any]:
    chunks = image.chunks
    names = ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")
    return {
        "blob": int(chunks.blob[row]),
        "chunk": int(chunks.index[row]),
        "digest": chunks.digest[row].tobytes().hex() if chunks.has_digest[row] else None,
        **{name: int(getattr(chunks, name)[row]) for name in names},
        "compressed": bool(chunks.compressed[row]),
    }


def _paths_by_row(image: Image, wanted: set[int]) -> dict[int, list[str]]:
    """All paths of these inodes."""
    found: dict[int, list[str]] = {row: [] for row in wanted}
    paths, rows = image.paths()
    for path, row in zip(paths, rows.tolist(), strict=True):
        if row in found:
            slash = "/" if row and stat.S_ISDIR(int(image.inodes.mode[row])) else ""
            found[row].append(path.decode("utf-8", "backslashreplace") + slash)
    return found
