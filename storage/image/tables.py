"""An image as a few tables: numpy columns, one row a thing, no object a row.

Rows are what the other rooms speak of: an *inode* is its row in `Inodes`, a *chunk* its
row in `Chunks`. `Chunks` holds the ``blob.meta`` of all blobs, one after the other, so a
chunk's row is ``blobs.first_chunk[blob] + index``, and neighbours in a blob are
neighbours in the table, which is what amplification walks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["BATCH", "PLAIN", "ZRAN", "Blobs", "Chunks", "Entries", "Extents", "Inodes", "Table"]

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
Bool = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

# How a unit is decoded: a chunk of its own, several chunks compressed as one, a piece of a gzip stream.
PLAIN, BATCH, ZRAN = 0, 1, 2


class Table:
    """Equally long columns; subclasses are frozen dataclasses of numpy arrays.

    One-dimensional columns become Arrow columns as they are; two-dimensional ones of
    bytes (digests) become fixed-size binary.
    """

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def to_arrow(self) -> pa.Table:
        """The table as Arrow, sharing memory where Arrow can."""
        import pyarrow as pa  # not for those who only build or read

        return pa.table({f.name: _arrow(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame, row for row."""
        return self.to_arrow().to_pandas()

    def _repr_html_(self) -> str:
        frame = self.to_arrow().slice(0, 20).to_pandas()
        return f"<b>{type(self).__name__}</b>: {len(self):,} rows{frame.to_html()}"


def _arrow(column: npt.NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    if column.ndim == 2:
        data = pa.py_buffer(np.ascontiguousarray(column))
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(column.shape[1]), len(column), [None, data])
    return pa.array(column)


@dataclass(frozen=True, slots=True, repr=False)
class Chunks(Table):
    """Every chunk of every blob, in the order of the blobs and of their ``blob.meta``.

    Attributes
    ----------
    blob : (n,) int32
        Index of the blob in the blob table.
    index : (n,) int32
        Index of the chunk in the blob's ``blob.meta``.
    compressed_offset, compressed_size : (n,) int64
        Where the chunk's unit lies in the blob, in bytes; chunks that are stored together share it.
    uncompressed_offset, uncompressed_size : (n,) int64
        Where the chunk lies in the uncompressed blob (the cache file), in bytes.
    compressed : (n,) bool
        Whether the stored bytes are compressed.
    digest : (n, 32) uint8
        Digest of the uncompressed bytes; zero where `has_digest` is false.
    has_digest : (n,) bool
        Whether this bootstrap knows the digest (it uses the chunk).
    crc32c : (n,) uint32
        CRC32C of the uncompressed bytes; zero where `has_crc32c` is false.
    has_crc32c : (n,) bool
    encrypted : (n,) bool
        Whether the stored bytes are encrypted.
    unit : (n,) int64
        Row of the first chunk of the chunk's unit; its own where it is stored alone.
    unit_offset, unit_size : (n,) int32
        Where in the unit's uncompressed bytes the chunk begins, and how many those are.
    kind : (n,) uint8
        PLAIN, BATCH or ZRAN: how the unit is decoded.
    """

    blob: I32
    index: I32
    compressed_offset: I64
    compressed_size: I64
    uncompressed_offset: I64
    uncompressed_size: I64
    compressed: Bool
    digest: Bytes
    has_digest: Bool
    crc32c: U32
    has_crc32c: Bool
    encrypted: Bool
    unit: I64
    unit_offset: I32
    unit_size: I32
    kind: Bytes

    @property
    def stored_size(self) -> I64:
        """Bytes in the blob that each chunk adds to those before it: its unit's for the first of one, else 0."""
        return np.where(self.unit == np.arange(len(self.unit)), self.compressed_size, 0)


@dataclass(frozen=True, slots=True, repr=False)
class Inodes(Table):
    """Every inode; row 0 is the root, and parents come before what is in them.

    The order is that of first names in the tree, breadth first, in v6; that of numbers in v5.

    Attributes
    ----------
    nid : (n,) int64
        EROFS node id, which v6 calls the inode number; the inode number of v5.
    mode, uid, gid, nlink, rdev : (n,) uint32
        As in ``struct stat``; `rdev` in the kernel's encoding, 0 for other kinds.
    size : (n,) int64
        Bytes of content; of dirents for directories, of the target for symlinks.
    mtime_ns : (n,) int64
    first_extent, extents : (n,) int64, int32
        Slice of `Extents`; empty except for regular files.
    xattr_offset, xattr_size : (n,) int64, int32
        Where in the bootstrap xattrs lie, and how many bytes they are; -1 and 0 for none.
    data_offset, tail_offset : (n,) int64
        Where whole blocks, or chunk addresses, lie, and where inline data behind the inode do; in v5
        where a link's target lies, and nothing.
    layout : (n,) int32
        EROFS data layout: 0 plain, 2 inline tail, 4 chunk-based.
    """

    nid: I64
    mode: U32
    uid: U32
    gid: U32
    nlink: U32
    rdev: U32
    size: I64
    mtime_ns: I64
    first_extent: I64
    extents: I32
    xattr_offset: I64
    xattr_size: I32
    data_offset: I64
    tail_offset: I64
    layout: I32


@dataclass(frozen=True, slots=True, repr=False)
class Extents(Table):
    """Inode to chunk: each row is one chunk's worth of one file, in file order.

    Attributes
    ----------
    inode : (n,) int32
    offset, length : (n,) int64
        Bytes of the file that the chunk holds.
    chunk : (n,) int64
        Row in `Chunks`.
    """

    inode: I32
    offset: I64
    length: I64
    chunk: I64


@dataclass(frozen=True, slots=True, repr=False)
class Entries(Table):
    """Every name in the tree: a hard-linked inode has several. Sorted by (parent, name).

    Attributes
    ----------
    parent, inode : (n,) int32
        Rows in `Inodes`. ``.`` and ``..`` are left out.
    name_offset, name_length : (n,) int64, int32
        The name's bytes in the bootstrap.
    """

    parent: I32
    inode: I32
    name_offset: I64
    name_length: I32


@dataclass(frozen=True, slots=True, repr=False)
class Blobs(Table):
    """Where each blob's chunks begin in `Chunks`; what else there is to know is in `BlobInfo`.

    Attributes
    ----------
    first_chunk, chunk_count : (n,) int64
    compressed_size, uncompressed_size : (n,) int64
        Bytes of chunk data.
    """

    first_chunk: I64
    chunk_count: I64
    compressed_size: I64
    uncompressed_size: I64
