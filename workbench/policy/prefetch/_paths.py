"""Files and folders by path: nydusd's `prefetch_files`, and prefetch lists of all sorts."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from storage.image import Image
from workbench.policy.prefetch._policy import I64, Bound, PrefetchPolicy, checked

__all__ = ["chunks_of_inodes", "paths"]


def paths(image: Image, names: Sequence[str | bytes]) -> PrefetchPolicy:
    """Fetch these files, one after the other; a folder stands for all that is in it.

    Raises
    ------
    PathError
        If a path is not in the image.
    """
    chunks = chunks_of_inodes(image, [image.lookup(name) for name in names])
    return PrefetchPolicy("paths", lambda known: Bound(checked(chunks, known.layout)))


def chunks_of_inodes(image: Image, inodes: Iterable[int]) -> I64:
    """Chunk rows of files, and of all files in folders, in that order, each once."""
    found: dict[int, None] = {}
    for inode in inodes:
        for file in _files(image, inode):
            found.update(dict.fromkeys(image.segments(file, 0, int(image.inodes.size[file]))[0]))
    return np.array(list(found), np.int64)


def _files(image: Image, inode: int) -> Iterator[int]:
    """Regular files at or below an inode, without going deeper for each folder."""
    left = [inode]
    while left:
        row = left.pop()
        mode = int(image.inodes.mode[row])
        if stat.S_ISDIR(mode):
            left += [child for _, child in reversed(image.children(row))]
        elif stat.S_ISREG(mode):
            yield row
