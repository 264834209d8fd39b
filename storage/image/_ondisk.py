"""RAFS v6 (EROFS) and ``blob.meta`` as they lie on disk: numpy dtypes and constants.

Everything is little-endian and packed.

Source: nydus ``rafs/src/metadata/layout/{v5,v6}.rs``, ``storage/src/meta``; Linux ``fs/erofs/erofs_fs.h``.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "BATCH_CONTEXT",
    "BLOB_ENTRY",
    "BLOCK_SIZE",
    "CHUNK_ADDR",
    "CHUNK_BASED",
    "CHUNK_HAS_CRC32",
    "CHUNK_INFO_V1",
    "CHUNK_INFO_V2",
    "CHUNK_IS_BATCH",
    "CHUNK_IS_COMPRESSED",
    "CHUNK_IS_ENCRYPTED",
    "CHUNK_IS_ZRAN",
    "CHUNK_RECORD",
    "DEVICE_SLOT",
    "DEVICE_TABLE_OFFSET",
    "DIRENT",
    "EROFS_MAGIC",
    "EXTENDED_SUPER_BLOCK",
    "FEATURE_COMPAT_RAFS_V6",
    "FEATURE_INCOMPAT",
    "FLAT_INLINE",
    "FLAT_PLAIN",
    "INODE_COMPACT",
    "INODE_EXTENDED",
    "MAX_CHUNKS_PER_BLOB",
    "MAX_CHUNK_SIZE",
    "META_HEADER",
    "META_HEADER_SIZE",
    "META_MAGIC",
    "RECORD_IS_ENCRYPTED",
    "SLOT_SIZE",
    "SUPER_BLOCK",
    "SUPER_OFFSET",
    "TAR_BLOCK_SIZE",
    "XATTR_HEADER_SIZE",
    "XATTR_PREFIXES",
    "ZRAN_CONTEXT",
]

BLOCK_SIZE = 4096
TAR_BLOCK_SIZE = 512  # of tarfs
SLOT_SIZE = 32  # an inode's place is a multiple of it: its nid
MAX_CHUNK_SIZE = 16 << 20
MAX_CHUNKS_PER_BLOB = 1 << 24

SUPER_OFFSET = 1024
DEVICE_TABLE_OFFSET = SUPER_OFFSET + 128 + 256
EROFS_MAGIC = 0xE0F5E1E2
FEATURE_COMPAT_RAFS_V6 = 0x4000_0000
FEATURE_INCOMPAT = 0x4 | 0x8  # chunked files, device table

SUPER_BLOCK = np.dtype(
    [
        ("magic", "<u4"),
        ("checksum", "<u4"),
        ("feature_compat", "<u4"),
        ("block_bits", "u1"),
        ("extra_slots", "u1"),
        ("root_nid", "<u2"),
        ("inodes", "<u8"),
        ("build_time", "<u8"),
        ("build_time_ns", "<u4"),
        ("blocks", "<u4"),
        ("meta_block", "<u4"),
        ("xattr_block", "<u4"),
        ("uuid", "V16"),
        ("volume_name", "V16"),
        ("feature_incompat", "<u4"),
        ("union", "<u2"),
        ("extra_devices", "<u2"),
        ("device_slot", "<u2"),
        ("reserved", "V38"),
    ]
)

EXTENDED_SUPER_BLOCK = np.dtype(
    [
        ("flags", "<u8"),
        ("blob_table_offset", "<u8"),
        ("blob_table_size", "<u4"),
        ("chunk_size", "<u4"),
        ("chunk_table_offset", "<u8"),
        ("chunk_table_size", "<u8"),
        ("prefetch_table_offset", "<u8"),
        ("prefetch_table_size", "<u4"),
        ("padding", "<u4"),
        ("reserved", "V200"),
    ]
)

DEVICE_SLOT = np.dtype([("blob_id", "V64"), ("blocks", "<u4"), ("mapped_block", "<u4"), ("reserved", "V56")])

BLOB_ENTRY = np.dtype(
    [
        ("blob_id", "V64"),
        ("blob_index", "<u4"),
        ("chunk_size", "<u4"),
        ("chunk_count", "<u4"),
        ("compressor", "<u4"),
        ("digester", "<u4"),
        ("features", "<u4"),
        ("compressed_size", "<u8"),
        ("uncompressed_size", "<u8"),
        ("toc_size", "<u4"),
        ("ci_compressor", "<u4"),
        ("ci_offset", "<u8"),
        ("ci_compressed_size", "<u8"),
        ("ci_uncompressed_size", "<u8"),
        ("toc_digest", "V32"),
        ("meta_digest", "V32"),
        ("meta_size", "<u8"),
        ("cipher_iv", "V8"),
        ("cipher", "<u4"),
        ("reserved", "V36"),
    ]
)

FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED = 0, 2, 4  # data layouts

INODE_COMPACT = np.dtype(
    [
        ("format", "<u2"),
        ("xattr_count", "<u2"),
        ("mode", "<u2"),
        ("nlink", "<u2"),
        ("size", "<u4"),
        ("reserved", "<u4"),
        ("union", "<u4"),
        ("ino", "<u4"),
        ("uid", "<u2"),
        ("gid", "<u2"),
        ("reserved2", "<u4"),
    ]
)

INODE_EXTENDED = np.dtype(
    [
        ("format", "<u2"),
        ("xattr_count", "<u2"),
        ("mode", "<u2"),
        ("reserved", "<u2"),
        ("size", "<u8"),
        ("union", "<u4"),
        ("ino", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("mtime", "<u8"),
        ("mtime_ns", "<u4"),
        ("nlink", "<u4"),
        ("reserved2", "V16"),
    ]
)

DIRENT = np.dtype([("nid", "<u8"), ("name_offset", "<u2"), ("file_type", "u1"), ("reserved", "u1")])

CHUNK_ADDR = np.dtype([("blob_lo", "<u2"), ("blob_hi", "<u2"), ("block", "<u4")])

CHUNK_HAS_CRC32 = 0x10  # of a record, and of chunk information of version 2
RECORD_IS_ENCRYPTED = 0x4

# A record of the chunk table, which v6 shares with v5.
CHUNK_RECORD = np.dtype(
    [
        ("digest", "u1", 32),
        ("blob_index", "<u4"),
        ("flags", "<u4"),
        ("compressed_size", "<u4"),
        ("uncompressed_size", "<u4"),
        ("compressed_offset", "<u8"),
        ("uncompressed_offset", "<u8"),
        ("file_offset", "<u8"),
        ("index", "<u4"),
        ("crc32", "<u4"),
    ]
)

XATTR_HEADER_SIZE = 12
XATTR_PREFIXES = {
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
}

META_MAGIC = 0xB10BB10B
META_HEADER_SIZE = 4096
META_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("features", "<u4"),
        ("ci_compressor", "<u4"),
        ("ci_entries", "<u4"),
        ("ci_offset", "<u8"),
        ("ci_compressed_size", "<u8"),
        ("ci_uncompressed_size", "<u8"),
        ("zran_offset", "<u8"),
        ("zran_size", "<u8"),
        ("zran_count", "<u4"),
        ("reserved", "V4032"),
        ("magic2", "<u4"),
    ]
)
assert META_HEADER.itemsize == META_HEADER_SIZE

# Sizes are kept less one, in 24 bits; offsets in 40 (compressed) and 32 bits of blocks.
CHUNK_INFO_V1 = np.dtype([("uncompressed", "<u8"), ("compressed", "<u8")])

# Flags in the top byte of `uncompressed`; `data` is a CRC32C, or the chunk's place in a batch or
# in an inflate context, in its low half, and the number of that one in its high half.
CHUNK_IS_COMPRESSED, CHUNK_IS_ZRAN, CHUNK_IS_BATCH, CHUNK_IS_ENCRYPTED = 0x1, 0x2, 0x4, 0x8
CHUNK_INFO_V2 = np.dtype([("uncompressed", "<u8"), ("compressed", "<u8"), ("data", "<u8")])

BATCH_CONTEXT = np.dtype([("compressed_size", "<u4"), ("uncompressed_size", "<u4"), ("reserved", "V32")])

ZRAN_CONTEXT = np.dtype(
    [
        ("in_offset", "<u8"),
        ("out_offset", "<u8"),
        ("dict_offset", "<u8"),
        ("in_size", "<u4"),
        ("out_size", "<u4"),
        ("dict_size", "<u4"),
        ("ctx_byte", "u1"),
        ("ctx_bits", "u1"),
        ("reserved", "V2"),
    ]
)
