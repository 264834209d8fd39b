"""The parent directory: with the first chunk that is read of a directory's files, all the others of them."""

from __future__ import annotations

import stat
from typing import Any

import numpy as np

from storage.image import Image
from storage.plan import Ahead
from workbench.policy.prefetch._policy import I64, Bound, Known, PrefetchPolicy

__all__ = ["directory"]

# The arena: how many chunks and directories; each chunk's directory; where each directory's chunks begin; those.
_CHUNKS, _DIRECTORIES, _OF_CHUNK = 0, 1, 2
_NOWHERE = -1


def directory() -> PrefetchPolicy:
    """Suggest the chunks of all files of the directory that a chunk is of, once for each directory.

    A chunk that files of several directories share is of the first of them.
    """

    def bind(known: Known) -> Bound:
        of_chunk, first, chunks = _files_by_directory(known.files)
        ints = np.concatenate([[len(of_chunk), len(first)], of_chunk, first, chunks]).astype(np.int64)
        return Bound(ahead=Ahead(_on_read, ints, np.zeros(1)))

    return PrefetchPolicy("directory", bind)


def _files_by_directory(image: Image) -> tuple[I64, I64, I64]:
    """By chunk its directory, -1 for none; where each directory's chunks begin; and those."""
    inodes, extents = image.inodes, image.extents
    file = (inodes.mode[image.entries.inode] & 0o170000 == stat.S_IFREG) & (inodes.size[image.entries.inode] > 0)
    inode, parent = image.entries.inode[file], image.entries.parent[file]
    counts = inodes.extents[inode].astype(np.int64)
    ends = np.cumsum(counts)
    at = np.arange(int(counts.sum())) + np.repeat(inodes.first_extent[inode] - (ends - counts), counts)
    _, folder = np.unique(np.repeat(parent, counts), return_inverse=True)
    chunks, place = np.unique(extents.chunk[at], return_index=True)
    of_chunk = np.full(len(image.chunks), _NOWHERE, np.int64)
    of_chunk[chunks] = folder[place]
    order = chunks[np.argsort(folder[place], kind="stable")]
    first = np.searchsorted(np.sort(folder[place]), np.arange(int(folder.max(initial=-1)) + 2))
    return of_chunk, first, order


def _on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    folder = ints[_OF_CHUNK + chunk]
    if folder < 0:
        return 0
    place = _OF_CHUNK + ints[_CHUNKS] + folder
    rows = _OF_CHUNK + ints[_CHUNKS] + ints[_DIRECTORIES]
    count = 0
    for index in range(ints[place], ints[place + 1]):
        other = ints[rows + index]
        if other != chunk and count < len(out):
            out[count] = other
            count += 1
        ints[_OF_CHUNK + other] = _NOWHERE  # the directory is fetched once
    return count
