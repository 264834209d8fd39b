"""The tree of names, read level by level: all directories of a level at once."""

from __future__ import annotations

import stat
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._inodes import gather, is_kind, read_inodes, spread
from storage.image._ondisk import DIRENT, FLAT_INLINE, SLOT_SIZE
from storage.image._super import SuperBlock
from storage.image.tables import Entries, Inodes

__all__ = ["read_tree"]

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_MAX_NAME = 255
_MAX_DEPTH = 2048  # no path that the kernel takes has more names


def read_tree(data: Bytes, block: SuperBlock) -> tuple[Inodes, Entries]:
    """All inodes that can be reached from the root, and all names.

    Raises
    ------
    FormatError
        If a directory is broken, or is its own descendant.
    """
    row_of = np.full(len(data) // SLOT_SIZE + 1, -1, np.int32)
    nids = np.array([block.root_nid], np.int64)
    row_of[block.root_nid] = 0
    levels, names, count = list[Inodes](), list[tuple[np.ndarray, ...]](), 1
    while len(nids):
        if len(levels) > _MAX_DEPTH:
            raise FormatError(f"directories are nested more than {_MAX_DEPTH} deep", field="root_nid")
        level = read_inodes(data, block, nids)
        folders = np.flatnonzero(is_kind(level.mode, stat.S_IFDIR))
        parents, children, name_offset, name_length = _read_folders(data, level, folders, block.block_size)
        _check_children(block, len(data), children, name_offset)
        seen = row_of[children]
        nids = _first_of_each(children[seen < 0])
        row_of[nids] = count + np.arange(len(nids), dtype=np.int32)
        names.append((parents + count - len(level), row_of[children], name_offset, name_length))
        levels.append(level)
        count += len(nids)
    inodes = Inodes(*(np.concatenate([getattr(level, f.name) for level in levels]) for f in fields(Inodes)))
    entries = Entries(*(np.concatenate(column) for column in zip(*names, strict=True)))
    if not is_kind(inodes.mode[:1], stat.S_IFDIR).all():
        raise FormatError("the root is not a directory", offset=block.meta_offset)
    _check_one_parent(inodes, entries)
    return inodes, entries


def _first_of_each(nids: I64) -> I64:
    """Each nid once, in order of appearance."""
    _, first = np.unique(nids, return_index=True)
    return nids[np.sort(first)]


def _check_children(block: SuperBlock, end: int, children: I64, places: I64) -> None:
    outside = (children < 0) | (children > (end - block.meta_offset) // SLOT_SIZE)
    if outside.any():
        raise FormatError("a name leads to an inode past the end", offset=int(places[outside][0]))


def _check_one_parent(inodes: Inodes, entries: Entries) -> None:
    """Every directory but the root has exactly one name: no cycles, no hard links."""
    names = np.bincount(entries.inode, minlength=len(inodes))
    folder = is_kind(inodes.mode, stat.S_IFDIR)
    folder[0] = names[0] != 0
    wrong = folder & (names != 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        place = int(entries.name_offset[entries.inode == row][0])
        raise FormatError("a directory has more than one name", offset=place)


def _read_folders(data: Bytes, level: Inodes, folders: I64, block_size: int) -> tuple[np.ndarray, I64, I64, np.ndarray]:
    """Names in these directories: parent (row in `level`), nid, and where the name lies."""
    parent, start, length = _blocks(level, folders, block_size)
    if ((start < 0) | (start + length > len(data)) | (length < DIRENT.itemsize)).any():
        raise FormatError("a directory lies past the end", offset=int(start[0]))
    names_at = gather(data, start, DIRENT)["name_offset"].astype(np.int64)
    counts = names_at // DIRENT.itemsize
    bad = (names_at % DIRENT.itemsize != 0) | (names_at > length) | (counts == 0)
    if bad.any():
        raise FormatError("a directory block has no names", offset=int(start[bad][0]))
    within = np.repeat(np.arange(len(start)), counts)
    number = spread(np.zeros_like(counts), counts)
    dirents = gather(data, start[within] + number * DIRENT.itemsize, DIRENT)
    begin = dirents["name_offset"].astype(np.int64)
    last = np.append(within[1:] != within[:-1], True) if len(within) else np.zeros(0, np.bool_)
    following = np.append(begin[1:], 0)
    end = np.where(last, _last_name_end(data, start, length, begin[last], within[last])[within], following)
    nid = dirents["nid"].astype(np.int64)
    return _checked_names(data, parent[within], nid, start[within], begin, end, length[within])


def _blocks(level: Inodes, folders: I64, block_size: int) -> tuple[np.ndarray, I64, I64]:
    """Blocks of directories: parent, offset and length; the last may be inline behind the inode."""
    size = level.size[folders]
    counts = -(-size // block_size)
    parent = np.repeat(folders, counts)
    number = spread(np.zeros_like(counts), counts)
    length = np.minimum(level.size[parent] - number * block_size, block_size)
    start = level.data_offset[parent] + number * block_size
    tail = (level.layout[parent] == FLAT_INLINE) & (length < block_size)
    return parent.astype(np.int32), np.where(tail, level.tail_offset[parent], start), length


def _last_name_end(data: Bytes, start: I64, length: I64, begin: I64, within: I64) -> I64:
    """Where each block's last name ends: at the first zero byte, or with the block."""
    ends = np.zeros(len(start), np.int64)
    reach = np.minimum(begin[:, None] + np.arange(_MAX_NAME + 1), length[within][:, None] - 1)
    zero = data[np.minimum(start[within][:, None] + reach, len(data) - 1)] == 0
    at_zero = begin + np.argmax(zero, axis=1)
    ends[within] = np.where(zero.any(axis=1), at_zero, length[within])
    return ends


def _checked_names(
    data: Bytes, parent: np.ndarray, nid: I64, block: I64, begin: I64, end: I64, length: I64
) -> tuple[np.ndarray, I64, I64, np.ndarray]:
    size = end - begin
    bad = (size <= 0) | (size > _MAX_NAME) | (end > length)
    if bad.any():
        raise FormatError("a name is of no length", offset=int((block + begin)[bad][0]))
    place = block + begin
    letters = data[spread(place, size)]
    if ((letters == 0) | (letters == ord("/"))).any():
        raise FormatError("a name has a zero byte or a slash", field="name")
    dot = data[place] == ord(".")
    own = dot & (size == 1)
    up = dot & (size == 2) & (data[np.minimum(place + 1, len(data) - 1)] == ord("."))
    keep = ~(own | up)
    return parent[keep], nid[keep], place[keep], size[keep].astype(np.int32)
