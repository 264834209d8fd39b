"""Writing what lies behind a blob's chunks: ``blob.meta``, and digests for a table of contents.

Source: nydus ``builder/src/core/blob.rs``, ``storage/src/meta/{chunk_info_v1,chunk_info_v2,batch}.rs``.
"""

from __future__ import annotations

import numpy as np

from storage.codec import Compressor, compress, encrypt
from storage.errors import FormatError
from storage.image._ondisk import (
    BATCH_CONTEXT,
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_INFO_V1,
    CHUNK_INFO_V2,
    CHUNK_IS_BATCH,
    CHUNK_IS_COMPRESSED,
    CHUNK_IS_ENCRYPTED,
    META_HEADER,
    META_MAGIC,
)
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._chunk_list import OWN, ChunkList
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._toc import Toc, tar_header, write_digests

__all__ = ["write_meta"]


def write_meta(chunks: ChunkList, out: Sink, recipe: Recipe, toc: Toc) -> BlobInfo:
    """Write all that lies between a blob's chunks and its bootstrap; returns the blob, which has no id yet."""
    end = chunks.uncompressed_offset[chunks.own[-1]] + chunks.uncompressed_size[chunks.own[-1]]
    plain_size = -(-end // BLOCK_SIZE) * BLOCK_SIZE
    if recipe.inline or recipe.toc:
        data = out.size
        out.write(tar_header("image.blob", data))
        toc_digest = out.digest()
        if recipe.toc:
            toc.add("image.blob", Compressor.NONE, toc_digest, 0, data, plain_size)
    info = _write_array(chunks, out, recipe, toc)
    if recipe.toc:
        write_digests((chunks.digest[row] for row in chunks.own), out, toc)
    return BlobInfo(
        blob_index=chunks.blobs.index(OWN),
        blob_id="",
        features=recipe.features,
        compressed_size=out.size,
        uncompressed_size=plain_size,
        chunk_size=recipe.chunk_size,
        chunk_count=len(chunks.own),
        compressor=recipe.compressor,
        digester=recipe.digester,
        cipher=recipe.cipher,
        cipher_key=recipe.key,
        cipher_iv=recipe.iv,
        meta_ci_compressor=Compressor(int(info["ci_compressor"])),
        meta_ci_offset=int(info["ci_offset"]),
        meta_ci_compressed_size=int(info["ci_compressed_size"]),
        meta_ci_uncompressed_size=int(info["ci_uncompressed_size"]),
    )


def _write_array(chunks: ChunkList, out: Sink, recipe: Recipe, toc: Toc) -> np.void:
    """Write blob.meta; returns its header."""
    v2 = recipe.features & BlobFeatures.CHUNK_INFO_V2
    info = _chunk_info_v2(chunks, recipe) if v2 else _chunk_info_v1(chunks)
    contexts = _contexts(chunks) if recipe.batch_size else np.zeros(0, BATCH_CONTEXT)
    array = info.tobytes() + contexts.tobytes()
    packed = compress(recipe.compressor, array)
    compressed = len(packed) < len(array)
    stored = encrypt(recipe.cipher, recipe.key, recipe.iv, packed if compressed else array)
    header = np.zeros(1, META_HEADER)
    header["magic"] = header["magic2"] = META_MAGIC
    header["features"] = recipe.features
    header["ci_compressor"] = recipe.compressor if compressed else Compressor.NONE
    header["ci_entries"] = len(info)
    header["ci_offset"] = out.size
    header["ci_compressed_size"], header["ci_uncompressed_size"] = len(stored), len(array)
    if recipe.batch_size:
        header["zran_offset"], header["zran_size"], header["zran_count"] = info.nbytes, contexts.nbytes, len(contexts)
    offset = out.size
    out.write(stored)
    out.write(encrypt(recipe.cipher, recipe.key, recipe.iv, header.tobytes()))
    if recipe.inline or recipe.toc:
        out.write(tar_header("blob.meta", out.size - offset))
    if recipe.toc:
        toc.add_meta(Compressor(int(header["ci_compressor"][0])), array, header.tobytes(), offset, len(stored))
    result: np.void = header[0]
    return result


def _columns(chunks: ChunkList) -> dict[str, np.ndarray]:
    """What both versions say of each chunk of the blob."""
    rows = chunks.own
    columns = {
        "offset": [unit.offset for unit in chunks.units for _ in unit.rows],
        "size": [0 if unit.batch else unit.size for unit in chunks.units for _ in unit.rows],
        "place": [chunks.uncompressed_offset[row] for row in rows],
        "plain": [chunks.uncompressed_size[row] - 1 for row in rows],
    }
    if columns["offset"][-1] >= 1 << 40 or columns["place"][-1] >= 1 << 44:
        raise FormatError("the tree is too large for one blob")
    return {name: np.array(column, np.uint64) for name, column in columns.items()}


def _chunk_info_v1(chunks: ChunkList) -> np.ndarray:
    columns = _columns(chunks)
    size, plain = columns["size"] - np.uint64(1), columns["plain"]
    low, high = np.uint64(0xFFFFF), np.uint64(0xF00000)
    records = np.zeros(len(size), CHUNK_INFO_V1)
    records["compressed"] = (size & low) << np.uint64(44) | (size & high) << np.uint64(20) | columns["offset"]
    records["uncompressed"] = (plain & low) << np.uint64(44) | (plain & high) >> np.uint64(12) | columns["place"]
    return records


def _chunk_info_v2(chunks: ChunkList, recipe: Recipe) -> np.ndarray:
    columns = _columns(chunks)
    encrypted = CHUNK_IS_ENCRYPTED if recipe.features & BlobFeatures.ENCRYPTED else 0
    flags, data, number = list[int](), list[int](), 0
    for unit in chunks.units:
        inside = 0
        for row in unit.rows:
            if unit.batch:
                flags.append(encrypted | CHUNK_IS_COMPRESSED | CHUNK_IS_BATCH)
                data.append(number << 32 | inside)
                inside += chunks.uncompressed_size[row]
            else:
                flags.append(encrypted | CHUNK_HAS_CRC32 | chunks.flags[row] & CHUNK_IS_COMPRESSED)
                data.append(chunks.crc32c[row])
        number += unit.batch
    records = np.zeros(len(flags), CHUNK_INFO_V2)
    plain = np.array(flags, np.uint64) << np.uint64(56) | columns["plain"] << np.uint64(32)
    records["uncompressed"] = plain | columns["place"] >> np.uint64(12)
    records["compressed"] = columns["size"] << np.uint64(40) | columns["offset"]
    records["data"] = data
    return records


def _contexts(chunks: ChunkList) -> np.ndarray:
    batches = [unit for unit in chunks.units if unit.batch]
    contexts = np.zeros(len(batches), BATCH_CONTEXT)
    contexts["compressed_size"] = [unit.size for unit in batches]
    contexts["uncompressed_size"] = [unit.plain_size for unit in batches]
    return contexts
