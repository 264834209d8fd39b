"""Superblocks and the blob table of a v6 bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from storage.codec import Cipher, Compressor, Digester
from storage.errors import FormatError, UnsupportedError
from storage.image._chunk_info import chunk_info_dtype
from storage.image._ondisk import (
    BATCH_CONTEXT,
    BLOB_ENTRY,
    BLOCK_SIZE,
    EROFS_MAGIC,
    EXTENDED_SUPER_BLOCK,
    FEATURE_COMPAT_RAFS_V6,
    FEATURE_INCOMPAT,
    MAX_CHUNK_SIZE,
    MAX_CHUNKS_PER_BLOB,
    META_HEADER_SIZE,
    SLOT_SIZE,
    SUPER_BLOCK,
    SUPER_OFFSET,
    TAR_BLOCK_SIZE,
    ZRAN_CONTEXT,
)
from storage.image.blob_info import BlobFeatures, BlobInfo

__all__ = ["SuperBlock", "read_blob_table", "read_super_block", "table_at"]

_INCOMPATIBLE = 0x0000_FFFF
_REFUSED = (BlobFeatures.IS_CHUNKDICT_GENERATED,)


@dataclass(frozen=True, slots=True)
class SuperBlock:
    """What the two superblocks say; offsets and sizes in bytes of the bootstrap.

    Attributes
    ----------
    meta_offset
        Where nid 0 would lie.
    root_nid
        The root directory's.
    build_time_ns
        What compact inodes, which have no time of their own, were last changed.
    flags
        RAFS flags: compression, digest, xattrs.
    chunk_size
        Of files; a power of two.
    block_size
        Of EROFS: 4096, or 512 for tarfs.
    """

    meta_offset: int
    root_nid: int
    build_time_ns: int
    flags: int
    chunk_size: int
    block_size: int
    blob_table: tuple[int, int]
    chunk_table: tuple[int, int]
    prefetch_table: tuple[int, int]


def table_at(data: np.ndarray, dtype: np.dtype, span: tuple[int, int], what: str) -> np.ndarray:
    """Records of a table at (offset, size in bytes), checked against the file.

    Raises
    ------
    FormatError
        If it does not lie in the file, or is not of whole records.
    """
    offset, size = span
    if size % dtype.itemsize or offset + size > len(data):
        raise FormatError(f"{size} bytes are not a table within {len(data)}", field=what, offset=offset)
    return np.frombuffer(data, dtype, size // dtype.itemsize, offset)


def read_super_block(data: np.ndarray) -> SuperBlock:
    """Read and check both superblocks.

    Raises
    ------
    FormatError
        If this is not a RAFS v6 bootstrap, or one that contradicts itself.
    UnsupportedError
        If it is of another kind that is known by name.
    """
    if len(data) < BLOCK_SIZE:
        raise FormatError(f"{len(data)} bytes are too few for a RAFS bootstrap", offset=len(data))
    block = np.frombuffer(data, SUPER_BLOCK, 1, SUPER_OFFSET)[0]
    _check_super_block(block)
    if len(data) % BLOCK_SIZE:
        raise FormatError(f"{len(data)} bytes are not whole blocks: the bootstrap is cut short", offset=len(data))
    extended = np.frombuffer(data, EXTENDED_SUPER_BLOCK, 1, SUPER_OFFSET + SUPER_BLOCK.itemsize)[0]
    chunk_size = int(extended["chunk_size"])
    if chunk_size & (chunk_size - 1) or not BLOCK_SIZE <= chunk_size <= MAX_CHUNK_SIZE:
        raise FormatError(f"a chunk size of {chunk_size} is none", field="chunk_size")
    meta_offset = int(block["meta_block"]) << int(block["block_bits"])
    root_nid = int(block["root_nid"])
    if meta_offset + root_nid * SLOT_SIZE >= len(data):
        raise FormatError("the root directory lies past the end", field="meta_block", offset=meta_offset)
    return SuperBlock(
        meta_offset=meta_offset,
        root_nid=root_nid,
        build_time_ns=int(block["build_time"] % (1 << 33)) * 10**9 + int(block["build_time_ns"]),
        flags=int(extended["flags"]),
        chunk_size=chunk_size,
        block_size=1 << int(block["block_bits"]),
        blob_table=_span(extended, "blob_table"),
        chunk_table=_span(extended, "chunk_table"),
        prefetch_table=_span(extended, "prefetch_table"),
    )


def _check_super_block(block: np.void) -> None:
    if block["magic"] != EROFS_MAGIC:
        raise FormatError("is not a RAFS bootstrap: no EROFS magic", offset=SUPER_OFFSET)
    if not block["feature_compat"] & FEATURE_COMPAT_RAFS_V6:
        raise UnsupportedError("is an EROFS image, but not a RAFS one", field="feature_compat")
    if block["block_bits"] not in (9, 12):
        raise FormatError(f"block bits of {block['block_bits']} are none of RAFS", field="block_bits")
    if block["feature_incompat"] != FEATURE_INCOMPAT:
        raise UnsupportedError(f"has EROFS features {block['feature_incompat']:#x}", field="feature_incompat")
    if block["xattr_block"] != 0:
        raise UnsupportedError("has shared extended attributes", field="xattr_block")


def _span(block: np.void, table: str) -> tuple[int, int]:
    return int(block[f"{table}_offset"]), int(block[f"{table}_size"])


def read_blob_table(data: np.ndarray, block: SuperBlock) -> tuple[BlobInfo, ...]:
    """The image's blobs.

    Raises
    ------
    FormatError
        If an entry contradicts itself.
    UnsupportedError
        If a blob needs a feature that cannot be read yet.
    """
    entries = table_at(data, BLOB_ENTRY, block.blob_table, "blob_table")
    if int(entries["chunk_count"].sum(dtype=np.uint64)) > MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"has more than {MAX_CHUNKS_PER_BLOB} chunks in all", field="blob_table")
    return tuple(_blob_info(index, entry, block) for index, entry in enumerate(entries))


def _blob_info(index: int, entry: np.void, block: SuperBlock) -> BlobInfo:
    features = _features(index, int(entry["features"]))
    _check_blob(index, entry, block)
    try:
        return BlobInfo(
            blob_index=index,
            blob_id=_blob_id(index, entry["blob_id"].tobytes(), features),
            features=features,
            compressed_size=int(entry["compressed_size"]),
            uncompressed_size=int(entry["uncompressed_size"]),
            chunk_size=int(entry["chunk_size"]),
            chunk_count=int(entry["chunk_count"]),
            compressor=Compressor(int(entry["compressor"])),
            digester=Digester(int(entry["digester"])),
            meta_ci_compressor=Compressor(int(entry["ci_compressor"])),
            meta_ci_offset=int(entry["ci_offset"]),
            meta_ci_compressed_size=int(entry["ci_compressed_size"]),
            meta_ci_uncompressed_size=int(entry["ci_uncompressed_size"]),
            toc_size=int(entry["toc_size"]),
            toc_digest=entry["toc_digest"].tobytes() if entry["toc_size"] else b"",
            **_cipher(index, entry, features),
            **_separate(index, entry, features),
        )
    except ValueError as error:
        raise FormatError(f"a blob's entry is broken: {error}", blob=index) from error


def _cipher(index: int, entry: np.void, features: BlobFeatures) -> dict[str, Any]:
    """How the blob is encrypted: the key is where the digest of blob.meta would be."""
    cipher = Cipher(int(entry["cipher"]))
    if cipher is Cipher.NONE:
        if features & BlobFeatures.ENCRYPTED:
            raise FormatError("a blob is encrypted by no cipher", blob=index, field="cipher")
        return {}
    if cipher is not Cipher.AES128XTS:
        raise UnsupportedError(f"blobs encrypted with {cipher} cannot be read", blob=index, field="cipher")
    iv = int(entry["meta_size"]).to_bytes(8, "little") + entry["cipher_iv"].tobytes()
    return {"cipher": cipher, "cipher_key": entry["meta_digest"].tobytes(), "cipher_iv": iv}


def _separate(index: int, entry: np.void, features: BlobFeatures) -> dict[str, Any]:
    """Which blob holds ``blob.meta``, if it is another one; one with the bootstrap in it cannot be named here."""
    if not features & BlobFeatures.SEPARATE or features & BlobFeatures.INLINED_FS_META:
        return {}
    size = int(entry["meta_size"])
    if size < int(entry["ci_offset"]) + int(entry["ci_compressed_size"]) + META_HEADER_SIZE:
        raise FormatError(f"a blob.meta of {size} bytes holds no chunks", blob=index, field="meta_size")
    return {"meta_blob_id": entry["meta_digest"].tobytes().hex(), "meta_size": size}


def _blob_id(index: int, padded: bytes, features: BlobFeatures) -> str:
    """A blob's name, which will be a file's; one with the bootstrap in it is named after its own file."""
    name = padded.rstrip(b"\0").decode("ascii", "replace")
    if name in ("", ".", "..") or "/" in name or not name.isprintable() or not name.isascii():
        if features & BlobFeatures.INLINED_FS_META:
            return ""
        raise FormatError("a blob's id is not a name", blob=index, field="blob_id")
    return name


def _features(index: int, bits: int) -> BlobFeatures:
    for feature in _REFUSED:
        if bits & feature:
            raise UnsupportedError(f"blob feature {feature.name} cannot be read yet", blob=index, field="features")
    known = sum(feature for feature in BlobFeatures)
    if bits & ~known & _INCOMPATIBLE or bits & BlobFeatures.V5_NO_EXT_BLOB_TABLE:
        raise FormatError(f"blob features {bits:#x} are unknown", blob=index, field="features")
    return BlobFeatures(bits & known)


def _check_blob(index: int, entry: np.void, block: SuperBlock) -> None:
    checks = {
        "blob_index": int(entry["blob_index"]) == index,
        "chunk_size": int(entry["chunk_size"]) == block.chunk_size,
        "chunk_count": int(entry["chunk_count"]) <= MAX_CHUNKS_PER_BLOB,
        "uncompressed_size": int(entry["uncompressed_size"]) <= 1 << 44,
        "compressed_size": int(entry["compressed_size"]) <= 1 << 40,
        "features": _features_agree(int(entry["features"]), block.block_size),
        "ci_offset": int(entry["ci_offset"]) <= 1 << 40,
        "ci_uncompressed_size": _meta_size_fits(entry),
        "ci_compressed_size": int(entry["ci_compressed_size"]) <= int(entry["ci_uncompressed_size"]),
    }
    for field, holds in checks.items():
        if not holds:
            raise FormatError(f"a blob's entry has {field} {entry[field]}", blob=index, field=field)


def _features_agree(features: int, block_size: int) -> bool:
    """Batches, inflate contexts and encryption need chunk information of version 2; no blob has both of the first."""
    of_v2 = features & (BlobFeatures.BATCH | BlobFeatures.ZRAN | BlobFeatures.ENCRYPTED)
    both = features & BlobFeatures.BATCH and features & BlobFeatures.ZRAN
    if bool(features & BlobFeatures.TARFS) != (block_size == TAR_BLOCK_SIZE):
        return False
    return not both and (not of_v2 or features & BlobFeatures.CHUNK_INFO_V2 != 0)


def _meta_size_fits(entry: np.void) -> bool:
    """Whether blob.meta can be that long: the chunks, and a context for each at most."""
    features, count, size = (int(entry[name]) for name in ("features", "chunk_count", "ci_uncompressed_size"))
    array = count * chunk_info_dtype(BlobFeatures(features & BlobFeatures.CHUNK_INFO_V2)).itemsize
    if features & BlobFeatures.TARFS or (features & BlobFeatures.EXTERNAL and size == 0):
        return size == 0
    if features & BlobFeatures.ZRAN:
        return array <= size <= array + count * (ZRAN_CONTEXT.itemsize + _WINDOW)
    if features & BlobFeatures.BATCH:
        return array <= size <= array + count * BATCH_CONTEXT.itemsize
    return size == array


_WINDOW = 32 << 10  # of deflate
