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

from storage.image._inodes import is_kind, spread
from storage.image._ondisk import CHUNK_RECORD
from storage.image.blob_info import BlobInfo
from storage.image.tables import Entries, Extents, Inodes
from storage.image.v5._chunks import Numbered, number_chunks
from storage.image.v5._entries import read_entries
from storage.image.v5._ondisk import ALIGNMENT
from storage.image.v5._records import Places, first_names, gather, place, read_records, require, rows_of
from storage.image.v5._super import SuperBlock, read_blob_table, read_super_block, table_at

__all__ = ["Parsed", "parse"]

I64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


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
    records, offsets = read_records(data, block)
    places = place(data, records, offsets)
    row_of = rows_of(records, offsets)
    entries = read_entries(data, records, places, row_of)
    records, places = first_names(records, places)
    inodes = _inodes(records, places)
    inodes, extents, used = _read_extents(data, block, infos, inodes, places.chunks, records["child_count"])
    return Parsed(
        block=block,
        infos=used.infos,
        inodes=inodes,
        entries=entries,
        extents=extents,
        records=used.records,
        prefetch=_prefetch(data, block, row_of),
        digests=records["digest"],
    )


def _inodes(taken: np.ndarray, places: Places) -> Inodes:
    count = len(taken)
    mode, size = taken["mode"].astype(np.uint32), taken["size"].astype(np.int64)
    link = is_kind(mode, stat.S_IFLNK)
    require(~link | (size == taken["symlink_size"]), "a link is not as long as its target", places.record)
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
        first_extent=np.zeros(count, np.int64),
        extents=np.zeros(count, np.int32),
        xattr_offset=places.xattrs,
        xattr_size=places.xattr_size.astype(np.int32),
        data_offset=places.symlink,
        tail_offset=np.full(count, -1, np.int64),
        layout=np.zeros(count, np.int32),
    )


def _read_extents(
    data: Bytes, block: SuperBlock, infos: tuple[BlobInfo, ...], inodes: Inodes, places: I64, counts: np.ndarray
) -> tuple[Inodes, Extents, Numbered]:
    """Chunks of all regular files, and the inodes with their slices of them."""
    regular = is_kind(inodes.mode, stat.S_IFREG)
    counts = np.where(regular, counts, 0).astype(np.int64)
    wanted = np.where(regular, -(-inodes.size // block.chunk_size), 0)
    require(counts == wanted, "a file has too few or too many chunks for its size", places)
    owner = np.repeat(np.arange(len(inodes), dtype=np.int32), counts)
    step = CHUNK_RECORD.itemsize // ALIGNMENT
    number = spread(np.zeros_like(counts), counts)
    slots = np.repeat(places // ALIGNMENT, counts) + number * step
    records = gather(data, CHUNK_RECORD, slots)
    offset = number * block.chunk_size
    length = np.minimum(inodes.size[owner] - offset, block.chunk_size)
    require(records["file_offset"] == offset, "a chunk is at another place of its file", slots * ALIGNMENT)
    require(records["uncompressed_size"] == length, "a chunk and its part of a file differ", slots * ALIGNMENT)
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
