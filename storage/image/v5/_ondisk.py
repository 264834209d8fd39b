"""RAFS v5 as it lies on disk: numpy dtypes and constants.

Everything is little-endian and packed; every inode begins at a multiple of 8 bytes.

Source: nydus ``rafs/src/metadata/layout/v5.rs``.
"""

from __future__ import annotations

import numpy as np

from storage.codec import Compressor, Digester

__all__ = [
    "ALIGNMENT",
    "CHUNK_COMPRESSED",
    "COMPRESSION_FLAGS",
    "EXPLICIT_UID_GID",
    "EXT_BLOB_ENTRY",
    "HASH_FLAGS",
    "HAS_XATTR",
    "INODE",
    "INODE_HARDLINK",
    "INODE_HAS_HOLE",
    "INODE_SYMLINK",
    "INODE_XATTR",
    "MAGIC",
    "SUPER_BLOCK",
    "SUPER_BLOCK_SIZE",
    "VERSION",
    "aligned",
]

MAGIC = 0x5241_4653
VERSION = 0x500
SUPER_BLOCK_SIZE = 8192
ALIGNMENT = 8

COMPRESSION_FLAGS = {Compressor.NONE: 0x1, Compressor.LZ4_BLOCK: 0x2, Compressor.GZIP: 0x40, Compressor.ZSTD: 0x80}
HASH_FLAGS = {Digester.BLAKE3: 0x4, Digester.SHA256: 0x8}
EXPLICIT_UID_GID, HAS_XATTR = 0x10, 0x20

INODE_SYMLINK, INODE_HARDLINK, INODE_XATTR, INODE_HAS_HOLE = 0x1, 0x2, 0x4, 0x8
CHUNK_COMPRESSED = 0x1

SUPER_BLOCK = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("sb_size", "<u4"),
        ("block_size", "<u4"),
        ("flags", "<u8"),
        ("inodes_count", "<u8"),
        ("inode_table_offset", "<u8"),
        ("prefetch_table_offset", "<u8"),
        ("blob_table_offset", "<u8"),
        ("inode_table_entries", "<u4"),
        ("prefetch_table_entries", "<u4"),
        ("blob_table_size", "<u4"),
        ("ext_blob_table_entries", "<u4"),
        ("ext_blob_table_offset", "<u8"),
    ]
)

EXT_BLOB_ENTRY = np.dtype(
    [
        ("chunk_count", "<u4"),
        ("features", "<u4"),
        ("uncompressed_size", "<u8"),
        ("compressed_size", "<u8"),
        ("reserved", "V40"),
    ]
)

INODE = np.dtype(
    [
        ("digest", "u1", 32),
        ("parent", "<u8"),
        ("ino", "<u8"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("projid", "<u4"),
        ("mode", "<u4"),
        ("size", "<u8"),
        ("blocks", "<u8"),
        ("flags", "<u8"),
        ("nlink", "<u4"),
        ("child_index", "<u4"),
        ("child_count", "<u4"),
        ("name_size", "<u2"),
        ("symlink_size", "<u2"),
        ("rdev", "<u4"),
        ("mtime_ns", "<u4"),
        ("mtime", "<u8"),
        ("reserved", "V8"),
    ]
)
assert (SUPER_BLOCK.itemsize, EXT_BLOB_ENTRY.itemsize, INODE.itemsize) == (80, 64, 128)


def aligned(size: int) -> int:
    """A size, up to the next multiple of 8."""
    return -(-size // ALIGNMENT) * ALIGNMENT
