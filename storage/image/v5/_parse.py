"""From the bytes of a v5 bootstrap to tables, without a step per inode or chunk.

An inode's number is its place in the inode table. A directory's children have numbers that
follow each other, all greater than its own, so that the tree needs no walking. Further names
of a file have records of their own, which bear the number of its first name.

Source: nydus ``rafs/src/metadata/{layout/v5,direct_v5}.rs``.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError, UnsupportedError
from storage.image._inodes import is_kind, spread
from storage.image._ondisk import CHUNK_RECORD
from storage.image.blob_info import BlobInfo
from storage.image.tables import Entries, Extents, Inodes
from storage.image.v5._chunks import Numbered, number_chunks
from storage.image.v5._ondisk import (
    ALIGNMENT,
    INODE,
    INODE_HAS_HOLE,
    INODE_XATTR,
    SUPER_BLOCK_SIZE,
)
from storage.image.v5._super import SuperBlock, read_blob_table, read_super_block, table_at

__all__ = ["Parsed", "parse"]

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_MAX_NAME = 255
_MAX_DEPTH = 2048  # names of one letter in a path of 4096


@dataclass(frozen=True, eq=False)
class Parsed:
    """What a bootstrap holds.

    Attributes
    ----------
    block
        The superblock.
    infos
        The blobs.
    inodes, entries, extents
        See `storage.image.tables`; an extent's chunk is a row of the chunk table that `records`
        will be joined to.
    records
        Each chunk that the image uses, once, by blob and index.
    prefetch : (n,) int32
        Inode rows.
    digests : (inodes, 32) uint8
        What each inode says is the digest of its content, children or target.
    """

    block: SuperBlock
    infos: tuple[BlobInfo, ...]
    inodes: Inodes
    entries: Entries
    extents: Extents
    records: np.ndarray = field(repr=False)
    prefetch: npt.NDArray[np.int32]
    digests: Bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class _Places:
    """Where things lie behind each record: (n,) int64."""

    record: I64
    symlink: I64
    xattrs: I64
    xattr_size: I64
    chunks: I64


def parse(data: Bytes) -> Parsed:
    """Read a bootstrap.

    Raises
    ------
    FormatError
        If it is broken; names the offset or field.
    UnsupportedError
        If it has a feature that is refused, by name.
    """
    block = read_super_block(data)
    infos = read_blob_table(data, block)
    records, offsets = _read_records(data, block)
    places = _places(data, records, offsets)
    row_of = _rows(records, offsets)
    first = np.flatnonzero(records["ino"] == np.arange(1, len(records) + 1))
    inodes = _inodes(records, places, first)
    entries = _entries(data, records, places, row_of)
    inodes, extents, used = _read_extents(data, block, infos, inodes, places.chunks[first], records[first])
    return Parsed(
        block=block,
        infos=used.infos,
        inodes=inodes,
        entries=entries,
        extents=extents,
        records=used.records,
        prefetch=_prefetch(data, block, row_of),
        digests=records["digest"][first],
    )


def _at(data: Bytes, dtype: np.dtype) -> np.ndarray:
    """A view of the file as records that begin every 8 bytes; item n lies at offset 8 n."""
    count = max((len(data) - dtype.itemsize) // ALIGNMENT + 1, 0)
    return np.ndarray(count, dtype, data.data, strides=(ALIGNMENT,))


def _read_records(data: Bytes, block: SuperBlock) -> tuple[np.ndarray, I64]:
    """All inodes, in the order of their numbers, and where each lies."""
    slots = table_at(data, np.dtype("<u4"), block.inode_table).astype(np.int64)
    offsets = slots * ALIGNMENT
    if len(slots) * INODE.itemsize > len(data):
        raise FormatError(f"{len(slots)} inodes are too many for {len(data)} bytes", field="inode_table_entries")
    behind = max(SUPER_BLOCK_SIZE, sum(block.inode_table))
    _require((offsets >= behind) & (offsets + INODE.itemsize <= len(data)), "an inode lies past the end", offsets)
    records = _at(data, INODE)[slots]
    _require(records["name_size"] <= _MAX_NAME, "a name is too long", offsets)
    _require(records["size"] < 1 << 62, "a file is too long", offsets)
    _require(records["flags"] & INODE_HAS_HOLE == 0, "a file has holes", offsets, UnsupportedError)
    return records, offsets


def _places(data: Bytes, records: np.ndarray, offsets: I64) -> _Places:
    symlink = offsets + INODE.itemsize + _aligned(records["name_size"])
    end = symlink + _aligned(records["symlink_size"])
    has_xattrs = records["flags"] & INODE_XATTR != 0
    _require(end + np.where(has_xattrs, 8, 0) <= len(data), "an inode's name lies past the end", offsets)
    where = np.flatnonzero(has_xattrs)
    told = _at(data, np.dtype("<u8"))[end[where] // ALIGNMENT]
    _require(told <= len(data), "extended attributes lie past the end", offsets[where])
    xattr_size = np.zeros(len(records), np.int64)
    xattr_size[where] = told.astype(np.int64)
    chunks = end + np.where(has_xattrs, 8 + _aligned(xattr_size), 0)
    _require(chunks <= len(data), "extended attributes lie past the end", offsets)
    count = np.where(is_kind(records["mode"], stat.S_IFREG), records["child_count"], 0).astype(np.int64)
    # Checked before anything of that size is made.
    ends = chunks + count * CHUNK_RECORD.itemsize
    _require(ends <= len(data), "a file's chunks lie past the end", offsets)
    if int((ends - offsets).sum()) > len(data):
        raise FormatError("inodes lie within each other", field="inode_table_offset")
    return _Places(offsets, symlink, np.where(xattr_size > 0, end + 8, -1), xattr_size, chunks)


def _aligned(sizes: np.ndarray) -> I64:
    return (sizes.astype(np.int64) + ALIGNMENT - 1) & -ALIGNMENT


def _rows(records: np.ndarray, offsets: I64) -> I64:
    """The row in `Inodes` of each record: that of the first name of its file."""
    count = len(records)
    ino, number = records["ino"].astype(np.uint64), np.arange(1, count + 1, dtype=np.uint64)
    _require((ino > 0) & (ino <= count), "an inode's number is not in the table", offsets)
    own = ino == number
    target = ino.astype(np.int64) - 1
    folder = is_kind(records["mode"], stat.S_IFDIR)
    _require(own | (own[target] & ~folder & ~folder[target]), "a further name is of no file", offsets)
    if not (own[0] and folder[0]):
        raise FormatError("the root is not a directory", offset=int(offsets[0]))
    rows: I64 = (np.cumsum(own) - 1)[target]
    return rows


def _inodes(records: np.ndarray, places: _Places, first: I64) -> Inodes:
    taken = records[first]
    mode, size = taken["mode"].astype(np.uint32), taken["size"].astype(np.int64)
    link = is_kind(mode, stat.S_IFLNK)
    _require(~link | (size == taken["symlink_size"]), "a link is not as long as its target", places.record[first])
    special = is_kind(mode, stat.S_IFCHR) | is_kind(mode, stat.S_IFBLK)
    return Inodes(
        nid=taken["ino"].astype(np.int64),
        mode=mode,
        uid=taken["uid"].astype(np.uint32),
        gid=taken["gid"].astype(np.uint32),
        nlink=taken["nlink"].astype(np.uint32),
        rdev=np.where(special, taken["rdev"], 0).astype(np.uint32),
        size=size,
        mtime_ns=(taken["mtime"] % (1 << 33)).astype(np.int64) * 10**9 + taken["mtime_ns"],
        first_extent=np.zeros(len(first), np.int64),
        extents=np.zeros(len(first), np.int32),
        xattr_offset=places.xattrs[first],
        xattr_size=places.xattr_size[first].astype(np.int32),
        data_offset=places.symlink[first],
        tail_offset=np.full(len(first), -1, np.int64),
        layout=np.zeros(len(first), np.int32),
    )


def _entries(data: Bytes, records: np.ndarray, places: _Places, row_of: I64) -> Entries:
    """All names; sorted by parent, since directories are taken in the order of their rows."""
    folders = np.flatnonzero(is_kind(records["mode"], stat.S_IFDIR) & (records["child_count"] > 0))
    begin, count = (records[name][folders].astype(np.int64) for name in ("child_index", "child_count"))
    inside = (begin > folders + 1) & (begin + count - 1 <= len(records))
    _require(inside, "a directory's children are not behind it in the table", places.record[folders])
    if int(count.sum()) != len(records) - 1:
        raise FormatError(f"{count.sum()} names for {len(records)} inodes", field="child_count")
    child = spread(begin - 1, count)
    _require(np.bincount(child, minlength=len(records))[1:] == 1, "an inode has no name", places.record[1:])
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
    _require(ancestor == 0, f"directories are nested deeper than {_MAX_DEPTH}", offsets[folders])


def _check_names(data: Bytes, start: I64, length: np.ndarray) -> None:
    _require(length > 0, "a name is of no length", start)
    letters = data[spread(start, length.astype(np.int64))]
    if ((letters == 0) | (letters == ord("/"))).any():
        raise FormatError("a name has a zero byte or a slash", field="name")
    dots = np.flatnonzero((length <= 2) & (data[start] == ord(".")))
    second = data[np.minimum(start[dots] + 1, len(data) - 1)] == ord(".")
    _require((length[dots] == 2) & ~second, "a name is that of a directory itself", start[dots])


def _read_extents(
    data: Bytes, block: SuperBlock, infos: tuple[BlobInfo, ...], inodes: Inodes, places: I64, taken: np.ndarray
) -> tuple[Inodes, Extents, Numbered]:
    """Chunks of all regular files, and the inodes with their slices of them."""
    regular = is_kind(inodes.mode, stat.S_IFREG)
    counts = np.where(regular, taken["child_count"], 0).astype(np.int64)
    wanted = np.where(regular, -(-inodes.size // block.chunk_size), 0)
    _require(counts == wanted, "a file has too few or too many chunks for its size", places)
    owner = np.repeat(np.arange(len(inodes), dtype=np.int32), counts)
    step = CHUNK_RECORD.itemsize // ALIGNMENT
    number = spread(np.zeros_like(counts), counts)
    slots = np.repeat(places // ALIGNMENT, counts) + number * step
    records = _at(data, CHUNK_RECORD)[slots]
    offset = number * block.chunk_size
    length = np.minimum(inodes.size[owner] - offset, block.chunk_size)
    _require(records["file_offset"] == offset, "a chunk is at another place of its file", slots * ALIGNMENT)
    _require(records["uncompressed_size"] == length, "a chunk and its part of a file differ", slots * ALIGNMENT)
    numbered = number_chunks(records, slots * ALIGNMENT, infos)
    first = np.cumsum(counts) - counts
    inodes = replace(inodes, first_extent=np.where(counts > 0, first, 0), extents=counts.astype(np.int32))
    return inodes, Extents(inode=owner, offset=offset, length=length, chunk=numbered.rows), numbered


def _prefetch(data: Bytes, block: SuperBlock, row_of: I64) -> npt.NDArray[np.int32]:
    """Rows of the prefetch table, up to the padding; a number that is no inode is passed over."""
    numbers = table_at(data, np.dtype("<u4"), block.prefetch_table).astype(np.int64)
    ends = np.flatnonzero(numbers == 0)
    numbers = numbers[: ends[0]] if len(ends) else numbers
    return row_of[numbers[numbers <= len(row_of)] - 1].astype(np.int32)


def _require(holds: np.ndarray, what: str, offsets: I64, error: type[FormatError] = FormatError) -> None:
    if not holds.all():
        raise error(what, offset=int(offsets[~holds][0]))
