"""What of an image is to be read ahead, and in which order: before anything is known of what is there.

Source: nydus ``rafs/src/fs.rs`` (`do_prefetch`), ``rafs/src/metadata/mod.rs`` (`prefetch_files`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.image import Image

__all__ = ["Wish", "wishes"]

I64 = npt.NDArray[np.int64]

# The file system layer hands chunks on when it has more than so many bytes, or so many chunks, of a blob.
_PORTION_BYTES = 16 << 20
_PORTION_CHUNKS = 1024
_PREFIX_STEP = 1 << 20


class Wish(NamedTuple):
    """Something to be read ahead: chunks of files, or a range of a blob.

    Attributes
    ----------
    blob
        Index of the blob.
    rows
        Chunk rows, ascending, those of one portion of files; None for a range.
    offset, length
        The range, in bytes of the compressed blob.
    """

    blob: int
    rows: I64 | None
    offset: int = 0
    length: int = 0


def wishes(
    image: Image, files: Sequence[int] | None = None, everything: bool = False, step: int = 1 << 20
) -> list[Wish]:
    """What nydusd reads ahead of an image that it mounts, in its order.

    First the ranges that a v6 image's blobs want (in steps of 1 MiB, from the blob's beginning);
    then `files`, else those of the image's prefetch table, and all that is below those that are
    folders; then, with `everything`, the rest: of v6 each blob in steps of `step` bytes, of v5 all
    files. A table, or a list, of nothing but the root stands for everything; a table that names
    the root among others leaves nothing of a rest.

    Parameters
    ----------
    files
        Inode rows; they take the table's place.
    """
    found = [wish for blob in range(len(image.infos)) for wish in _prefix(image, blob)] if image.version == 6 else []
    table = image.prefetch.tolist()
    listed = table if files is None else list(files)
    if table == [0] or listed == [0]:
        everything = True
    else:
        found += _of_files(image, _files_of(image, listed))
        everything = everything and not (files is None and 0 in table)
    if everything and image.version == 6:
        return found + [wish for blob in range(len(image.infos)) for wish in _whole(image, blob, step)]
    return found + (_of_files(image, _files_of(image, [0])) if everything else [])


def _prefix(image: Image, blob: int) -> Iterator[Wish]:
    return _ranges(blob, image.infos[blob].prefetch_size, _PREFIX_STEP)


def _whole(image: Image, blob: int, step: int) -> Iterator[Wish]:
    return _ranges(blob, int(image.blobs.compressed_size[blob]), step)


def _ranges(blob: int, size: int, step: int) -> Iterator[Wish]:
    return (Wish(blob, None, start, min(step, size - start)) for start in range(0, size, step))


def _files_of(image: Image, inodes: Sequence[int]) -> I64:
    """Files of a list of files and folders: a folder's own before those of its folders, hard links once."""
    files: list[I64] = []
    for inode in inodes:
        files += _below(image, inode)
    rows = np.concatenate(files) if files else np.zeros(0, np.int64)
    linked = image.inodes.nlink[rows] > 1
    first = np.zeros(len(rows), np.bool_)
    first[np.unique(rows, return_index=True)[1]] = True
    return rows[first | ~linked]


def _below(image: Image, inode: int) -> list[I64]:
    """Regular files with bytes in them, in runs."""
    entries, found, left = image.entries, [], [np.array([inode], np.int64)]
    while left:
        rows = left.pop()
        kind = image.inodes.mode[rows] & 0o170000
        found.append(rows[(kind == stat.S_IFREG) & (image.inodes.size[rows] > 0)])
        for folder in reversed(rows[kind == stat.S_IFDIR].tolist()):
            first, last = np.searchsorted(entries.parent, [folder, folder + 1])
            left.append(entries.inode[first:last].astype(np.int64))
    return found


def _of_files(image: Image, files: I64) -> list[Wish]:
    """Chunks of files, cut into portions as nydusd's file system layer cuts them."""
    counts = image.inodes.extents[files].astype(np.int64)
    ends = np.cumsum(counts)
    extent = np.arange(int(counts.sum())) + np.repeat(image.inodes.first_extent[files] - (ends - counts), counts)
    rows, lengths = image.extents.chunk[extent], image.extents.length[extent]
    blob, file = image.chunks.blob[rows], np.repeat(np.arange(len(files)), counts)
    run = np.cumsum(np.append(True, (np.diff(file) != 0) | (np.diff(blob) != 0)))
    portions: list[tuple[int, Wish]] = []
    for number in dict.fromkeys(blob.tolist()):
        (mine,) = np.nonzero(blob == number)
        bounds = np.append(np.flatnonzero(np.diff(run[mine])) + 1, len(mine))
        start = 0
        for end in _portions(np.cumsum(lengths[mine]), bounds):
            whole = end < len(mine) or _is_full(int(lengths[mine[start:end]].sum()), end - start)
            place = int(mine[end - 1]) if whole else len(rows)
            portions.append((place, Wish(number, np.sort(rows[mine[start:end]]))))
            start = end
    return [wish for _, wish in sorted(portions, key=lambda portion: portion[0])]


def _is_full(size: int, chunks: int) -> bool:
    return size > _PORTION_BYTES or chunks > _PORTION_CHUNKS


def _portions(size: I64, bounds: I64) -> Iterator[int]:
    """Where portions end; `size` are sums of bytes, `bounds` where they may."""
    at, paid = 0, 0
    while at < len(size):
        full = min(int(np.searchsorted(size, paid + _PORTION_BYTES, "right")), at + _PORTION_CHUNKS) + 1
        past = int(np.searchsorted(bounds, full))
        at = int(bounds[past]) if past < len(bounds) else len(size)
        paid = int(size[at - 1])
        yield at
