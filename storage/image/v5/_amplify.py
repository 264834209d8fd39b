"""What nydusd's file system layer reads along with a v5 read: the rest of the file, then the files behind it.

The storage layer amplifies by walking ``blob.meta``, which v5 images have not; so the file
system does it, by inode: chunks after the read within its file, then whole small files in the
order of inode numbers, until a window of uncompressed bytes is full. It stops nowhere: what
does not lie right behind the last chunk in the blob is passed over, and the window counts it.

Source: nydus ``rafs/src/fs.rs`` (`read`), ``rafs/src/metadata/md_v5.rs`` (`amplify_user_io`).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from storage.image._inodes import is_kind
from storage.image.v5._ondisk import INODE
from storage.image.v5._records import gather
from storage.image.v5._super import read_super_block, table_at

if TYPE_CHECKING:
    from storage.image._image import Image

__all__ = ["Amplifier"]

_GAP_SHIFT = 7
_MAX_TRIES = 64
# What a reply of nydusd's FUSE session has room for: 256 pages, and a page less the header.
_MAX_REPLY = (1 << 20) + 4096 - 16


class Amplifier:
    """Finds what is read along.

    Parameters
    ----------
    image
        A v5 image.
    amplify_io
        Bytes, uncompressed, that a read is widened to.
    """

    def __init__(self, image: Image, amplify_io: int) -> None:
        self._window = min(amplify_io, _MAX_REPLY)
        self._gap = self._window >> _GAP_SHIFT
        self._chunk_size = image.chunk_size
        inodes, chunks = image.inodes, image.chunks
        rows = _rows_by_number(image)
        files = np.flatnonzero(is_kind(inodes.mode[rows], stat.S_IFREG) & (inodes.size[rows] > 0))
        self._numbers = files + 1
        self._rows = rows[files].tolist()
        self._number = inodes.nid.data
        self._size, self._first = inodes.size.data, inodes.first_extent.data
        self._chunk = image.extents.chunk.data
        self._blob = chunks.blob.data
        self._start = chunks.compressed_offset.data
        self._end = (chunks.compressed_offset + chunks.compressed_size).data

    def along(self, row: int, offset: int, length: int, last: int) -> list[int]:
        """Chunk rows that are read along, if any chunk of the read is absent.

        Parameters
        ----------
        row, offset, length
            The read: an inode's row, and the bytes asked for, which may go past the end.
        last
            The row of its last chunk.
        """
        mask, size = self._chunk_size - 1, self._size[row]
        base = min((offset + length + mask) & ~mask, size)
        left = self._window - (base - (offset & ~mask))
        found: list[int] = []
        if length >= self._window or left <= 0:
            return found
        if base < size:
            left, _ = self._take(found, last, row, base, min(size - base, left), left)
        tries = _MAX_TRIES
        for following in self._behind(row):
            size = self._size[following]
            if left <= 0 or tries <= 0 or (size >= left and left <= mask):
                break
            taken = size if size < left else left & ~mask
            left, pieces = self._take(found, last, following, 0, taken, left)
            tries -= pieces
        return found

    def widened(
        self, row: int, offset: int, length: int, segments: Sequence[Sequence[int]]
    ) -> tuple[list[int], list[int], list[int]]:
        """Segments of a read (chunks, offsets, lengths) with those that are read along: at offset -1, of no length."""
        chunks, offsets, lengths = (list(column) for column in segments)
        along = self.along(row, offset, length, chunks[-1]) if chunks else []
        return chunks + along, offsets + [-1] * len(along), lengths + [0] * len(along)

    def _take(self, found: list[int], last: int, row: int, offset: int, length: int, left: int) -> tuple[int, int]:
        """Append a part of a file where it joins; returns what is left of the window, and in how many blobs it is."""
        pieces = self._pieces(row, offset, length)
        for rows, size in pieces:
            if self._blob[rows[0]] == self._blob[last]:
                left = max(left - size, 0)
                if 0 <= self._start[rows[0]] - self._end[found[-1] if found else last] <= self._gap:
                    found += rows
        return left, len(pieces)

    def _pieces(self, row: int, offset: int, length: int) -> list[tuple[list[int], int]]:
        """A part of a file that begins with a chunk, by blob: chunks, and bytes."""
        first = self._first[row] + offset // self._chunk_size
        pieces: list[tuple[list[int], int]] = []
        for chunk in self._chunk[first : first + -(-length // self._chunk_size)].tolist():
            size = min(length, self._chunk_size)
            length -= size
            if pieces and self._blob[pieces[-1][0][0]] == self._blob[chunk]:
                rows, before = pieces[-1]
                pieces[-1] = ([*rows, chunk], before + size)
            else:
                pieces.append(([chunk], size))
        return pieces

    def _behind(self, row: int) -> Iterator[int]:
        """Rows of files with content, by number, after this one."""
        at = int(np.searchsorted(self._numbers, self._number[row], "right"))
        return iter(self._rows[at:])


def _rows_by_number(image: Image) -> npt.NDArray[np.int64]:
    """The inode row of each inode number; further names of a file have numbers of their own."""
    data = image.data
    slots = table_at(data, np.dtype("<u4"), read_super_block(data).inode_table).astype(np.int64)
    return np.searchsorted(image.inodes.nid, gather(data, INODE, slots)["ino"].astype(np.int64))
