"""The records of the inode table, and what lies where behind each."""

from __future__ import annotations

import stat
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError, UnsupportedError
from storage.image._inodes import is_kind
from storage.image._ondisk import CHUNK_RECORD
from storage.image.v5._ondisk import ALIGNMENT, INODE, INODE_HAS_HOLE, INODE_XATTR, SUPER_BLOCK_SIZE
from storage.image.v5._super import SuperBlock, table_at

__all__ = ["Places", "first_names", "gather", "place", "read_records", "require", "rows_of"]

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_MAX_NAME = 255


@dataclass(frozen=True, eq=False)
class Places:
    """Where things lie behind each record: (n,) int64."""

    record: I64
    symlink: I64
    xattrs: I64
    xattr_size: I64
    chunks: I64


def gather(data: Bytes, dtype: np.dtype, slots: I64) -> np.ndarray:
    """Records that begin at multiples of 8 bytes, `slots`, which must lie in `data`."""
    width = dtype.itemsize // ALIGNMENT
    count = max(len(data) // ALIGNMENT - width + 1, 0)
    # Rows of integers are copied four times as fast as records are.
    words = np.ndarray((count, width), "<u8", data.data, strides=(ALIGNMENT, ALIGNMENT))
    return words[slots].view(dtype).reshape(-1)


def read_records(data: Bytes, block: SuperBlock) -> tuple[np.ndarray, I64]:
    """All inodes, in the order of their numbers, and where each lies."""
    slots = table_at(data, np.dtype("<u4"), block.inode_table).astype(np.int64)
    offsets = slots * ALIGNMENT
    if len(slots) * INODE.itemsize > len(data):
        raise FormatError(f"{len(slots)} inodes are too many for {len(data)} bytes", field="inode_table_entries")
    behind = max(SUPER_BLOCK_SIZE, sum(block.inode_table))
    require((offsets >= behind) & (offsets + INODE.itemsize <= len(data)), "an inode lies past the end", offsets)
    records = gather(data, INODE, slots)
    require(records["name_size"] <= _MAX_NAME, "a name is too long", offsets)
    require(records["size"] < 1 << 62, "a file is too long", offsets)
    require(records["flags"] & INODE_HAS_HOLE == 0, "a file has holes", offsets, UnsupportedError)
    return records, offsets


def place(data: Bytes, records: np.ndarray, offsets: I64) -> Places:
    """Find what is behind each record, and that all of it lies in the file, in a place of its own."""
    symlink = offsets + INODE.itemsize + _aligned(records["name_size"])
    end = symlink + _aligned(records["symlink_size"])
    has_xattrs = records["flags"] & INODE_XATTR != 0
    require(end + np.where(has_xattrs, 8, 0) <= len(data), "an inode's name lies past the end", offsets)
    where = np.flatnonzero(has_xattrs)
    told = gather(data, np.dtype("<u8"), end[where] // ALIGNMENT)
    require(told <= len(data), "extended attributes lie past the end", offsets[where])
    xattr_size = np.zeros(len(records), np.int64)
    xattr_size[where] = told.astype(np.int64)
    chunks = end + np.where(has_xattrs, 8 + _aligned(xattr_size), 0)
    require(chunks <= len(data), "extended attributes lie past the end", offsets)
    count = np.where(is_kind(records["mode"], stat.S_IFREG), records["child_count"], 0).astype(np.int64)
    # Checked before anything of that size is made.
    ends = chunks + count * CHUNK_RECORD.itemsize
    require(ends <= len(data), "a file's chunks lie past the end", offsets)
    if int((ends - offsets).sum()) > len(data):
        raise FormatError("inodes lie within each other", field="inode_table_offset")
    return Places(offsets, symlink, np.where(xattr_size > 0, end + 8, -1), xattr_size, chunks)


def _aligned(sizes: np.ndarray) -> I64:
    return (sizes.astype(np.int64) + ALIGNMENT - 1) & -ALIGNMENT


def rows_of(records: np.ndarray, offsets: I64) -> I64:
    """The row in `Inodes` of each record: that of the first name of its file."""
    count = len(records)
    ino, number = records["ino"].astype(np.uint64), np.arange(1, count + 1, dtype=np.uint64)
    require((ino > 0) & (ino <= count), "an inode's number is not in the table", offsets)
    own = ino == number
    target = ino.astype(np.int64) - 1
    folder = is_kind(records["mode"], stat.S_IFDIR)
    require(own | (own[target] & ~folder & ~folder[target]), "a further name is of no file", offsets)
    if not (own[0] and folder[0]):
        raise FormatError("the root is not a directory", offset=int(offsets[0]))
    rows: I64 = (np.cumsum(own) - 1)[target]
    return rows


def first_names(records: np.ndarray, places: Places) -> tuple[np.ndarray, Places]:
    """Without the records of further names."""
    own = records["ino"] == np.arange(1, len(records) + 1)
    if own.all():
        return records, places
    return records[own], Places(*(getattr(places, column.name)[own] for column in fields(Places)))


def require(holds: np.ndarray, what: str, offsets: I64, error: type[FormatError] = FormatError) -> None:
    """Raise, naming the first offset for which it does not hold."""
    if not holds.all():
        raise error(what, offset=int(offsets[~holds][0]))
