"""Names: the directories' children, all at once."""

from __future__ import annotations

import stat

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._inodes import is_kind, spread
from storage.image.tables import Entries
from storage.image.v5._ondisk import INODE
from storage.image.v5._records import Places, require

__all__ = ["read_entries"]

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_MAX_DEPTH = 2048  # names of one letter in a path of 4096


def read_entries(data: Bytes, records: np.ndarray, places: Places, row_of: I64) -> Entries:
    """All names; sorted by parent, since directories are taken in the order of their rows."""
    folders = np.flatnonzero(is_kind(records["mode"], stat.S_IFDIR) & (records["child_count"] > 0))
    begin, count = (records[name][folders].astype(np.int64) for name in ("child_index", "child_count"))
    inside = (begin > folders + 1) & (begin + count - 1 <= len(records))
    require(inside, "a directory's children are not behind it in the table", places.record[folders])
    if int(count.sum()) != len(records) - 1:
        raise FormatError(f"{count.sum()} names for {len(records)} inodes", field="child_count")
    child = spread(begin - 1, count)
    require(np.bincount(child, minlength=len(records))[1:] == 1, "an inode has no name", places.record[1:])
    start = places.record[child] + INODE.itemsize
    length = records["name_size"][child].astype(np.int32)
    _check_names(data, start, length)
    _check_depth(folders, count, child, places.record)
    return Entries(
        parent=np.repeat(row_of[folders], count).astype(np.int32),
        inode=row_of[child].astype(np.int32),
        name_offset=start,
        name_length=length,
    )


def _check_depth(folders: I64, count: I64, child: I64, offsets: I64) -> None:
    """Directories are not nested deeper than a path can be long; `folders` are those with children."""
    parent = np.zeros(len(offsets), np.int64)
    parent[child] = np.repeat(folders, count)
    ancestor = np.searchsorted(folders, parent[folders])
    for _ in range(_MAX_DEPTH.bit_length() - 1):
        ancestor = ancestor[ancestor]
    require(ancestor == 0, f"directories are nested deeper than {_MAX_DEPTH}", offsets[folders])


def _check_names(data: Bytes, start: I64, length: np.ndarray) -> None:
    require(length > 0, "a name is of no length", start)
    letters = data[spread(start, length.astype(np.int64))]
    if ((letters == 0) | (letters == ord("/"))).any():
        raise FormatError("a name has a zero byte or a slash", field="name")
    dots = np.flatnonzero((length <= 2) & (data[start] == ord(".")))
    second = data[np.minimum(start[dots] + 1, len(data) - 1)] == ord(".")
    require((length[dots] == 2) & ~second, "a name is that of a directory itself", start[dots])
