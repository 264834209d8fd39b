"""Inodes at given places, all at once."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import (
    CHUNK_ADDR,
    CHUNK_BASED,
    FLAT_INLINE,
    FLAT_PLAIN,
    INODE_COMPACT,
    INODE_EXTENDED,
    SLOT_SIZE,
    XATTR_HEADER_SIZE,
)
from storage.image._super import SuperBlock
from storage.image.tables import Blobs, Extents, Inodes

__all__ = ["gather", "is_kind", "read_extents", "read_inodes", "spread"]

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)


def gather(data: Bytes, offsets: I64, dtype: np.dtype) -> np.ndarray:
    """Records at any offsets, which must lie in `data`."""
    if not len(offsets):
        return np.zeros(0, dtype)
    # A record begins at every byte; those wanted are copied, each at one go.
    every = np.ndarray(len(data) - dtype.itemsize + 1, f"V{dtype.itemsize}", data.data, strides=(1,))
    return every[offsets].view(dtype)


def spread(starts: I64, counts: I64) -> I64:
    """``starts[i], starts[i] + 1, ...``, `counts[i]` of them, for all i in turn."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)


def is_kind(mode: np.ndarray, kind: int) -> np.ndarray:
    """Whether modes are of a kind: ``stat.S_IFDIR`` and so on."""
    return (mode & 0o170000) == kind


def read_inodes(data: Bytes, block: SuperBlock, nids: I64) -> Inodes:
    """The inodes of these nids, without their extents.

    Raises
    ------
    FormatError
        If one lies past the end, or its inline data or xattrs do.
    UnsupportedError
        If one has a layout that RAFS does not write.
    """
    offsets = block.meta_offset + nids * SLOT_SIZE
    _require(offsets + INODE_COMPACT.itemsize <= len(data), "an inode lies past the end", offsets)
    small = gather(data, offsets, INODE_COMPACT)
    extended = (small["format"] & 1) == 1
    _require((offsets + INODE_EXTENDED.itemsize <= len(data)) | ~extended, "an inode lies past the end", offsets)
    large = gather(data, np.where(extended, offsets, 0), INODE_EXTENDED)
    layout = ((small["format"] >> 1) & 7).astype(np.int32)
    xattrs = np.where(small["xattr_count"] > 0, XATTR_HEADER_SIZE + (small["xattr_count"].astype(np.int64) - 1) * 4, 0)
    header = np.where(extended, INODE_EXTENDED.itemsize, INODE_COMPACT.itemsize)
    behind = offsets + header + xattrs
    union = np.where(extended, large["union"], small["union"])
    mode = small["mode"].astype(np.uint32)
    size = np.where(extended, large["size"], small["size"].astype(np.uint64))
    _require(size < 1 << 62, "a file is too long", offsets)
    time = (large["mtime"] % (1 << 33)).astype(np.int64) * 10**9 + large["mtime_ns"]
    inodes = Inodes(
        nid=nids,
        mode=mode,
        uid=np.where(extended, large["uid"], small["uid"]).astype(np.uint32),
        gid=np.where(extended, large["gid"], small["gid"]).astype(np.uint32),
        nlink=np.where(extended, large["nlink"], small["nlink"]).astype(np.uint32),
        rdev=np.where(is_kind(mode, _DEVICES[0]) | is_kind(mode, _DEVICES[1]), union, 0).astype(np.uint32),
        size=size.astype(np.int64),
        mtime_ns=np.where(extended, time, block.build_time_ns),
        first_extent=np.zeros(len(nids), np.int64),
        extents=np.zeros(len(nids), np.int32),
        xattr_offset=np.where(xattrs > 0, offsets + header, -1),
        xattr_size=xattrs.astype(np.int32),
        data_offset=np.where(layout == CHUNK_BASED, -(-behind // 8) * 8, union.astype(np.int64) * block.block_size),
        tail_offset=np.where(layout == FLAT_INLINE, behind, -1),
        layout=layout,
    )
    _check_layout(inodes, offsets, len(data), block.block_size)
    return inodes


def _check_layout(inodes: Inodes, offsets: I64, end: int, block_size: int) -> None:
    known = np.isin(inodes.layout, (FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED))
    if not known.all():
        where = int(offsets[~known][0])
        raise UnsupportedError("an inode has a data layout that RAFS does not write", field="format", offset=where)
    with_data = is_kind(inodes.mode, stat.S_IFDIR) | is_kind(inodes.mode, stat.S_IFLNK)
    _require(~with_data | (inodes.layout != CHUNK_BASED), "a directory or a link is in chunks", offsets)
    _require(~with_data | (inodes.size < end), "a directory or a link is longer than the file", offsets)
    inline_end = np.where(with_data & (inodes.layout == FLAT_INLINE), inodes.size % block_size, 0)
    _require(inodes.tail_offset + inline_end <= end, "inline data lie past the end", offsets)
    regular = is_kind(inodes.mode, stat.S_IFREG) & (inodes.size > 0)
    _require(~regular | (inodes.layout == CHUNK_BASED), "a regular file is not in chunks", offsets)


def read_extents(data: Bytes, block: SuperBlock, inodes: Inodes, blobs: Blobs) -> tuple[Inodes, Extents]:
    """The chunks of all regular files, and the inodes with their slices of them."""
    regular = np.flatnonzero(is_kind(inodes.mode, stat.S_IFREG) & (inodes.size > 0))
    counts = -(-inodes.size[regular] // block.chunk_size)
    places = inodes.data_offset[regular]
    # Checked before anything of that size is made.
    _require(places + counts * CHUNK_ADDR.itemsize <= len(data), "chunk addresses lie past the end", places)
    owner = np.repeat(regular, counts)
    number = spread(np.zeros_like(counts), counts)
    where = np.repeat(places, counts) + number * CHUNK_ADDR.itemsize
    addresses = gather(data, where, CHUNK_ADDR)
    high = addresses["blob_hi"].astype(np.int64)
    blob, index = (high & 0xFF) - 1, ((high >> 8) << 16) | addresses["blob_lo"]
    _require((blob >= 0) & (blob < len(blobs)), "a chunk is in a blob that the image does not have", where)
    if len(blob):
        _require(index < blobs.chunk_count[blob], "a chunk is not in its blob", where)
    offset = number * block.chunk_size
    extents = Extents(
        inode=owner.astype(np.int32),
        offset=offset,
        length=np.minimum(inodes.size[owner] - offset, block.chunk_size),
        chunk=blobs.first_chunk[blob] + index if len(blob) else np.zeros(0, np.int64),
    )
    first, count = inodes.first_extent.copy(), inodes.extents.copy()
    first[regular], count[regular] = np.cumsum(counts) - counts, counts
    return replace(inodes, first_extent=first, extents=count), extents


def _require(holds: np.ndarray, what: str, offsets: I64) -> None:
    if not holds.all():
        raise FormatError(what, offset=int(offsets[~holds][0]))
