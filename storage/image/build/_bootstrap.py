"""Writing a bootstrap: superblocks, tables, inodes, names, the chunk table.

Source: nydus ``builder/src/core/v6.rs``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.codec import Cipher, Compressor, Digester
from storage.image._ondisk import (
    BLOB_ENTRY,
    BLOCK_SIZE,
    CHUNK_RECORD,
    DEVICE_SLOT,
    DEVICE_TABLE_OFFSET,
    EROFS_MAGIC,
    EXTENDED_SUPER_BLOCK,
    FEATURE_COMPAT_RAFS_V6,
    FEATURE_INCOMPAT,
    SLOT_SIZE,
    SUPER_BLOCK,
    SUPER_OFFSET,
)
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._chunk_list import ChunkList
from storage.image.build._node import Node, walk
from storage.image.build._v6_inodes import put_inodes

__all__ = ["dump_bootstrap"]

_COMPRESSION_FLAGS = {Compressor.NONE: 0x1, Compressor.LZ4_BLOCK: 0x2, Compressor.GZIP: 0x40, Compressor.ZSTD: 0x80}
_HASH_FLAGS = {Digester.BLAKE3: 0x4, Digester.SHA256: 0x8}
_EXPLICIT_UID_GID, _HAS_XATTR, _INLINED_CHUNK_DIGEST = 0x10, 0x20, 0x100
_ENCRYPTION_FLAGS = {Cipher.NONE: 0x0100_0000, Cipher.AES128XTS: 0x0200_0000}
_TARFS_MODE = 0x200
_MAP_ALIGNMENT = 0x8_0000


def dump_bootstrap(
    root: Node,
    end: int,
    chunks: ChunkList,
    infos: Sequence[BlobInfo],
    compressor: Compressor,
    digester: Digester,
    chunk_size: int,
    listed: Sequence[Node] = (),
    block_size: int = BLOCK_SIZE,
) -> bytes:
    """The bootstrap of a tree that is placed and whose blobs are written.

    Parameters
    ----------
    end
        Of the inode area, as `place_nodes` says.
    listed
        Nodes of the prefetch table, which an image without blobs does not have.
    block_size
        Of EROFS: 512 for tarfs, whose blob is a tar.
    """
    blob_table = _up(DEVICE_TABLE_OFFSET + len(infos) * DEVICE_SLOT.itemsize, BLOCK_SIZE)
    prefetch = blob_table + len(infos) * BLOB_ENTRY.itemsize
    prefetch_size = 4 * len(listed) if infos else 0
    meta = _up(prefetch + prefetch_size, BLOCK_SIZE) if infos else root.offset - BLOCK_SIZE
    shift = meta - (root.offset - BLOCK_SIZE)
    image = bytearray(_up(end + shift, BLOCK_SIZE))
    nodes = [root, *walk(root)]
    put_inodes(image, nodes, shift, meta, chunks, chunk_size, block_size)
    used: dict[int, int] = {}
    for node in nodes:
        for at, row in enumerate(node.chunks):
            used[row] = at * chunk_size
    if block_size != BLOCK_SIZE and used:
        used = dict([used.popitem()])  # a tarfs's chunks have no digest, and its table keeps one of each
    records = _chunk_records(chunks, used)
    table = len(image)
    image += records
    image += bytes(_up(len(image), BLOCK_SIZE) - len(image))
    flags = _COMPRESSION_FLAGS[compressor] | _HASH_FLAGS[digester] | _EXPLICIT_UID_GID
    flags |= _ENCRYPTION_FLAGS[max((info.cipher for info in infos), default=Cipher.NONE)]
    flags |= _HAS_XATTR if any(node.xattrs for node in nodes) else 0
    if infos and all(info.has_feature(BlobFeatures.INLINED_CHUNK_DIGEST) for info in infos):
        flags |= _INLINED_CHUNK_DIGEST
    if block_size != BLOCK_SIZE:
        flags |= _TARFS_MODE
    _put(image, SUPER_OFFSET, _super_block(len(nodes), root.offset + shift, meta, infos, block_size))
    _put(
        image,
        SUPER_OFFSET + SUPER_BLOCK.itemsize,
        _record(
            EXTENDED_SUPER_BLOCK,
            flags=flags,
            blob_table_offset=blob_table,
            blob_table_size=len(infos) * BLOB_ENTRY.itemsize,
            chunk_size=chunk_size,
            chunk_table_offset=table,
            chunk_table_size=len(records),
            prefetch_table_offset=prefetch if prefetch_size else 0,
            prefetch_table_size=prefetch_size,
        ),
    )
    _put(image, DEVICE_TABLE_OFFSET, _device_slots(infos, len(image), block_size))
    _put(image, blob_table, b"".join(_blob_entry(blob) for blob in infos))
    if prefetch_size:
        nids = [(node.offset + shift - meta) // SLOT_SIZE for node in listed]
        _put(image, prefetch, np.array(nids, "<u4").tobytes())
    return bytes(image)


def _chunk_records(chunks: ChunkList, used: dict[int, int]) -> bytes:
    """The chunk table, sorted by digest; `used` says where in a file each chunk was last seen."""
    order = sorted(used, key=lambda row: (chunks.digest[row], chunks.blob[row]))
    records = np.zeros(len(order), CHUNK_RECORD)
    digests = b"".join([chunks.digest[row] for row in order])
    records["digest"] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    columns = {"blob_index": "blob", "crc32": "crc32c"} | {name: name for name in _ALIKE}
    for name, column in columns.items():
        values: list[int] = getattr(chunks, column)
        records[name] = [values[row] for row in order]
    records["file_offset"] = [used[row] for row in order]
    return records.tobytes()


_ALIKE = ("flags", "compressed_size", "uncompressed_size", "compressed_offset", "uncompressed_offset", "index")


def _super_block(inodes: int, root: int, meta: int, infos: Sequence[BlobInfo], block_size: int) -> bytes:
    return _record(
        SUPER_BLOCK,
        magic=EROFS_MAGIC,
        feature_compat=FEATURE_COMPAT_RAFS_V6,
        block_bits=block_size.bit_length() - 1,
        root_nid=(root - meta) // SLOT_SIZE,
        inodes=inodes,
        blocks=sum(info.uncompressed_size for info in infos) // block_size,
        meta_block=meta // block_size,
        feature_incompat=FEATURE_INCOMPAT,
        extra_devices=len(infos),
        device_slot=DEVICE_TABLE_OFFSET // DEVICE_SLOT.itemsize,
    )


def _device_slots(infos: Sequence[BlobInfo], end: int, block_size: int) -> bytes:
    slots = []
    for info in infos:
        mapped = _up(end, _MAP_ALIGNMENT)
        blocks = info.uncompressed_size // block_size
        slots.append(
            _record(DEVICE_SLOT, blob_id=info.blob_id.encode(), blocks=blocks, mapped_block=mapped // block_size)
        )
        end = mapped + blocks * block_size
    return b"".join(slots)


def _blob_entry(info: BlobInfo) -> bytes:
    return _record(
        BLOB_ENTRY,
        blob_id=info.blob_id.encode(),
        blob_index=info.blob_index,
        chunk_size=info.chunk_size,
        chunk_count=info.chunk_count,
        compressor=info.compressor,
        digester=info.digester,
        features=info.features,
        compressed_size=info.compressed_size,
        uncompressed_size=info.uncompressed_size,
        ci_compressor=info.meta_ci_compressor,
        ci_offset=info.meta_ci_offset,
        ci_compressed_size=info.meta_ci_compressed_size,
        ci_uncompressed_size=info.meta_ci_uncompressed_size,
        toc_size=info.toc_size,
        toc_digest=info.toc_digest,
        cipher=info.cipher,
        # The key takes the place of a digest, and half of the tweak that of a size.
        meta_digest=info.cipher_key or _meta_digest(info),
        meta_size=int.from_bytes(info.cipher_iv[:8], "little") or info.meta_size,
        cipher_iv=info.cipher_iv[8:],
    )


def _meta_digest(info: BlobInfo) -> bytes:
    """The name of the blob that holds ``blob.meta``, where it is not the one with the bootstrap."""
    return bytes.fromhex(info.meta_blob_id) if info.meta_blob_id and not _inlined(info) else bytes(32)


def _inlined(info: BlobInfo) -> bool:
    return info.has_feature(BlobFeatures.INLINED_FS_META)


def _record(dtype: np.dtype, **values: object) -> bytes:
    record = np.zeros(1, dtype)
    for name, value in values.items():
        record[name] = np.void(value) if isinstance(value, bytes) else value
    return record.tobytes()


def _put(image: bytearray, offset: int, data: bytes) -> None:
    image[offset : offset + len(data)] = data


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
