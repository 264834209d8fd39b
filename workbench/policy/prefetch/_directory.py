"""The parent directory: with the first chunk that is read of a directory's files, all the others of them."""

from __future__ import annotations

import stat
from typing import Any

import numpy as np

from storage.image import Image
from storage.plan import Ahead
from workbench.policy.prefetch._policy import I64, Bound, Known, PrefetchPolicy, checked

__all__ = ["directory"]

_DONE = -1


def directory(image: Image) -> PrefetchPolicy:
    """Suggest the chunks of all files of the directory that a chunk is of, once for each directory."""
    of_chunk, first, chunks = _files_by_directory(image)

    def bind(known: Known) -> Bound:
        checked(chunks, known.layout)
        ints = np.concatenate([[len(of_chunk), len(first)], of_chunk, first, chunks]).astype(np.int64)
        return Bound(np.zeros(0, np.int64), Ahead(_on_read, ints, np.zeros(1)))

    return PrefetchPolicy("directory", bind)


def _files_by_directory(image: Image) -> tuple[I64, I64, I64]:
    """By chunk its directory, -1 for none; where each directory's chunks begin; and those."""
    of_chunk = np.full(len(image.chunks), -1, np.int64)
    firsts, found = [0], list[int]()
    entries, inodes = image.entries, image.inodes
    for number, parent in enumerate(np.unique(entries.parent).tolist()):
        begin, end = np.searchsorted(entries.parent, [parent, parent + 1])
        rows: dict[int, None] = {}
        for inode in entries.inode[begin:end].tolist():
            if stat.S_ISREG(int(inodes.mode[inode])):
                rows.update(dict.fromkeys(image.segments(inode, 0, int(inodes.size[inode]))[0]))
        for row in rows:
            if of_chunk[row] < 0:
                of_chunk[row] = number
        found += list(rows)
        firsts.append(len(found))
    return of_chunk, np.array(firsts, np.int64), np.array(found, np.int64)


def _on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    chunks, directories = ints[0], ints[1]
    folder = ints[2 + chunk]
    if folder < 0:
        return 0
    place = 2 + chunks + folder
    rows = 2 + chunks + directories
    begin, end = ints[place], ints[place + 1]
    if begin < 0:
        return 0
    count = 0
    for index in range(begin, end):
        if ints[rows + index] != chunk and count < len(out):
            out[count] = ints[rows + index]
            count += 1
        # Each chunk of the directory forgets it: it is fetched once.
        if ints[2 + ints[rows + index]] == folder:
            ints[2 + ints[rows + index]] = _DONE
    return count
