"""Superblock, prefetch table and blob tables of a v5 bootstrap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from storage.codec import Compressor, Digester
from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import MAX_CHUNK_SIZE, MAX_CHUNKS_PER_BLOB
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.v5._ondisk import (
    COMPRESSION_FLAGS,
    EXPLICIT_UID_GID,
    EXT_BLOB_ENTRY,
    HAS_XATTR,
    HASH_FLAGS,
    MAGIC,
    SUPER_BLOCK,
    SUPER_BLOCK_SIZE,
    VERSION,
)

__all__ = ["SuperBlock", "is_v5", "read_blob_table", "read_super_block", "table_at"]

T = TypeVar("T")

# What a v5 blob may be; the others need a blob.meta, which v5 has not.
_FEATURES = (
    BlobFeatures.ALIGNED
    | BlobFeatures.INLINED_FS_META
    | BlobFeatures.IS_CHUNKDICT_GENERATED
    | BlobFeatures.IS_SEPARATED_WITH_PREFETCH_FILES
    | BlobFeatures.HAS_TAR_HEADER
    | BlobFeatures.HAS_TOC
    | BlobFeatures.CAP_TAR_TOC
)
_FLAGS = sum(COMPRESSION_FLAGS.values()) | sum(HASH_FLAGS.values()) | EXPLICIT_UID_GID | HAS_XATTR
_COMPATIBLE = 0xFC00_0000
_BLOB_ID = re.compile(rb"[\x21-\x2e\x30-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class SuperBlock:
    """What the superblock says; spans are (offset, size in bytes) within the bootstrap.

    Attributes
    ----------
    flags
        RAFS flags: compression, digest, xattrs.
    chunk_size
        Of files; a power of two.
    inodes_count
        Inodes, further names of a file not counted.
    """

    flags: int
    chunk_size: int
    inodes_count: int
    compressor: Compressor
    digester: Digester
    inode_table: tuple[int, int]
    prefetch_table: tuple[int, int]
    blob_table: tuple[int, int]
    ext_blob_table: tuple[int, int]


def is_v5(data: np.ndarray) -> bool:
    """Whether the bytes begin as a v5 bootstrap does."""
    return data[:4].tobytes() == MAGIC.to_bytes(4, "little")


def read_super_block(data: npt.NDArray[np.uint8]) -> SuperBlock:
    """Read and check the superblock.

    Raises
    ------
    FormatError
        If it contradicts itself, or a table lies outside the file or in another.
    UnsupportedError
        If it is of another version, or has flags that are unknown.
    """
    if len(data) <= SUPER_BLOCK_SIZE:
        raise FormatError(f"{len(data)} bytes are too few for a RAFS v5 bootstrap", offset=len(data))
    raw = np.frombuffer(data, SUPER_BLOCK, 1)[0]
    if raw["version"] != VERSION:
        raise UnsupportedError(f"is RAFS version {raw['version']:#x}, not v5", field="version")
    if raw["sb_size"] != SUPER_BLOCK_SIZE:
        raise FormatError(f"a superblock of {raw['sb_size']} bytes is none", field="sb_size")
    flags, chunk_size = int(raw["flags"]), int(raw["block_size"])
    if flags & ~(_FLAGS | _COMPATIBLE):
        raise UnsupportedError(f"has RAFS flags {flags:#x}", field="flags")
    if chunk_size & (chunk_size - 1) or not 4096 <= chunk_size <= MAX_CHUNK_SIZE:
        raise FormatError(f"a chunk size of {chunk_size} is none", field="block_size")
    block = SuperBlock(
        flags=flags,
        chunk_size=chunk_size,
        inodes_count=int(raw["inodes_count"]),
        compressor=_by_flag(COMPRESSION_FLAGS, flags, Compressor.NONE),
        digester=_by_flag(HASH_FLAGS, flags, Digester.BLAKE3),
        inode_table=(int(raw["inode_table_offset"]), 4 * int(raw["inode_table_entries"])),
        prefetch_table=(int(raw["prefetch_table_offset"]), 4 * int(raw["prefetch_table_entries"])),
        blob_table=(int(raw["blob_table_offset"]), int(raw["blob_table_size"])),
        ext_blob_table=(
            int(raw["ext_blob_table_offset"]),
            EXT_BLOB_ENTRY.itemsize * int(raw["ext_blob_table_entries"]),
        ),
    )
    _check_tables(block, len(data))
    return block


def _by_flag(flags: dict[T, int], bits: int, default: T) -> T:
    """The algorithm that is flagged; two at once are a contradiction."""
    found = [name for name, flag in flags.items() if bits & flag]
    if len(found) > 1:
        raise FormatError(f"RAFS flags {bits:#x} name {' and '.join(map(str, found))} at once", field="flags")
    return found[0] if found else default


def _check_tables(block: SuperBlock, end: int) -> None:
    spans = sorted(
        (span[0], sum(span), name)
        for name in ("inode_table", "prefetch_table", "blob_table", "ext_blob_table")
        if (span := getattr(block, name))[1]
    )
    before = SUPER_BLOCK_SIZE
    for start, stop, name in spans:
        if start < before or stop > end:
            raise FormatError("a table lies past the end or within another", field=name, offset=start)
        before = stop
    entries = block.inode_table[1] // 4
    if not 0 < block.inodes_count <= entries:
        message = f"has {block.inodes_count} inodes and an inode table of {entries}"
        raise FormatError(message, field="inode_table_entries")


def table_at(data: npt.NDArray[np.uint8], dtype: np.dtype, span: tuple[int, int]) -> np.ndarray:
    """Records of a table that `read_super_block` found to lie in the file."""
    return data[span[0] : sum(span)].view(dtype)


def read_blob_table(data: npt.NDArray[np.uint8], block: SuperBlock) -> tuple[BlobInfo, ...]:
    """The image's blobs: names from the blob table, numbers from the extended one, if there is one.

    Raises
    ------
    FormatError
        If a name is none, or the two tables do not fit together.
    UnsupportedError
        If a blob has a feature that v5 images have no use of.
    """
    size = block.ext_blob_table[1]
    extended = table_at(data, EXT_BLOB_ENTRY, block.ext_blob_table)
    named = _names(data[block.blob_table[0] : sum(block.blob_table)].tobytes(), block)
    if size and len(extended) < len(named):
        message = f"{len(named)} blobs, but {len(extended)} in the extended blob table"
        raise FormatError(message, field="ext_blob_table")
    infos = []
    for index, (name, offset, length) in enumerate(named):
        entry = extended[index] if size else None
        infos.append(_blob_info(index, name, (offset, length), entry, block))
    if sum(info.chunk_count for info in infos) > MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"has more than {MAX_CHUNKS_PER_BLOB} chunks in all", field="ext_blob_table")
    return tuple(infos)


def _names(table: bytes, block: SuperBlock) -> list[tuple[bytes, int, int]]:
    """Name and readahead range of each blob; entries are parted by a zero byte."""
    found: list[tuple[bytes, int, int]] = []
    at = 0
    while len(table) - at > 8:
        end = table.find(b"\0", at + 8)
        end = len(table) if end < 0 else end
        name = table[at + 8 : end]
        if not _BLOB_ID.fullmatch(name) or name in (b".", b".."):
            raise FormatError("a blob's id is not a name", blob=len(found), offset=block.blob_table[0] + at)
        offset, length = (int.from_bytes(table[at + i : at + i + 4], "little") for i in (0, 4))
        found.append((name, offset, length))
        at = end + 1
    return found


def _blob_info(
    index: int, name: bytes, readahead: tuple[int, int], entry: np.void | None, block: SuperBlock
) -> BlobInfo:
    features = BlobFeatures.V5_NO_EXT_BLOB_TABLE if entry is None else _features(index, int(entry["features"]))
    counts: dict[str, Any] = {field: 0 if entry is None else int(entry[field]) for field in _LIMITS}
    for field, limit in _LIMITS.items():
        if counts[field] > limit:
            raise FormatError(f"a blob's entry has {field} {counts[field]}", blob=index, field=field)
    return BlobInfo(
        blob_index=index,
        blob_id=name.decode("ascii"),
        features=features,
        chunk_size=block.chunk_size,
        compressor=block.compressor,
        digester=block.digester,
        meta_ci_compressor=Compressor.NONE,
        meta_ci_offset=0,
        meta_ci_compressed_size=0,
        meta_ci_uncompressed_size=0,
        prefetch_offset=readahead[0],
        prefetch_size=readahead[1],
        **counts,
    )


_LIMITS = {"chunk_count": MAX_CHUNKS_PER_BLOB, "uncompressed_size": 1 << 44, "compressed_size": 1 << 44}


def _features(index: int, bits: int) -> BlobFeatures:
    wrong = bits & ~_FEATURES
    for feature in BlobFeatures:
        if wrong & feature:
            raise UnsupportedError(f"a v5 blob has feature {feature.name}", blob=index, field="features")
    if wrong:
        raise UnsupportedError(f"blob features {bits:#x} are unknown", blob=index, field="features")
    return BlobFeatures(bits)
