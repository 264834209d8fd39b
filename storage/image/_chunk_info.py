"""Chunk information as it lies in ``blob.meta``: version 1, and version 2 with its contexts.

Chunks of version 2 may lie in *units* that are stored as one: a batch is several small chunks
compressed together, an inflate context is a piece of a gzip stream. Contexts behind the array
say where a unit lies and how long it is.

Source: nydus ``storage/src/meta/{chunk_info_v1,chunk_info_v2,batch,zran}.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._ondisk import (
    BATCH_CONTEXT,
    CHUNK_HAS_CRC32,
    CHUNK_INFO_V1,
    CHUNK_INFO_V2,
    CHUNK_IS_BATCH,
    CHUNK_IS_COMPRESSED,
    CHUNK_IS_ENCRYPTED,
    CHUNK_IS_ZRAN,
    MAX_CHUNK_SIZE,
    ZRAN_CONTEXT,
)
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import BATCH, PLAIN, ZRAN

__all__ = ["BlobMeta", "chunk_info_dtype", "plain_meta", "unpack"]

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BlobMeta:
    """Chunks of one blob, by index; arrays are (n,), offsets and sizes in bytes.

    Attributes
    ----------
    compressed_offset, compressed_size
        Where the unit lies that holds the chunk.
    uncompressed_offset, uncompressed_size
        Where the chunk lies in the uncompressed blob.
    compressed, encrypted
        Whether the stored bytes are.
    crc32c, has_crc32c
        Checksum of the uncompressed bytes, where it is known.
    unit
        Index of the first chunk of the chunk's unit; its own where it is stored alone.
    unit_offset, unit_size
        Where in the unit's uncompressed bytes the chunk begins, and how many those are.
    kind
        PLAIN, BATCH or ZRAN: how the unit is decoded.
    own_size
        Stored bytes that are the chunk's own; 0 in a batch.
    content
        The file as nydusd keeps it in its cache folder, ``<blob>.blob.meta``.
    contexts, dictionary
        The inflate contexts of a zran blob, and the windows that they begin with.
    context
        The number of the chunk's batch or inflate context; 0 for those that have none.
    digests
        (n, 32), as the blob's ``blob.digest`` has them; (0, 32) where that is not known.
    """

    compressed_offset: I64
    compressed_size: I64
    uncompressed_offset: I64
    uncompressed_size: I64
    compressed: Bool
    encrypted: Bool
    crc32c: npt.NDArray[np.uint32]
    has_crc32c: Bool
    unit: I64
    unit_offset: I32
    unit_size: I32
    kind: npt.NDArray[np.uint8]
    own_size: I64
    content: bytes = field(repr=False)
    context: I64 = field(repr=False)
    contexts: np.ndarray = field(repr=False)
    dictionary: bytes = field(repr=False)
    digests: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 32), np.uint8), repr=False)


def chunk_info_dtype(features: BlobFeatures) -> np.dtype:
    """How a record of the array is laid out."""
    return CHUNK_INFO_V2 if features & BlobFeatures.CHUNK_INFO_V2 else CHUNK_INFO_V1


def plain_meta(offset: I64, size: I64, plain_offset: I64, plain_size: I64, content: bytes) -> BlobMeta:
    """The meta of chunks that are stored each alone: what version 1 can say."""
    count = len(offset)
    return BlobMeta(
        compressed_offset=offset,
        compressed_size=size,
        uncompressed_offset=plain_offset,
        uncompressed_size=plain_size,
        compressed=size != plain_size,
        encrypted=np.zeros(count, np.bool_),
        crc32c=np.zeros(count, np.uint32),
        has_crc32c=np.zeros(count, np.bool_),
        unit=np.arange(count),
        unit_offset=np.zeros(count, np.int32),
        unit_size=plain_size.astype(np.int32),
        kind=np.full(count, PLAIN, np.uint8),
        own_size=size,
        content=content,
        context=np.zeros(count, np.int64),
        contexts=np.zeros(0, BATCH_CONTEXT),
        dictionary=b"",
    )


def unpack(info: BlobInfo, header: np.void, content: bytes) -> BlobMeta:
    """The chunks of a blob, out of the plain content of its ``blob.meta``.

    Raises
    ------
    FormatError
        If a chunk's unit is not there, or does not hold it.
    """
    dtype = chunk_info_dtype(info.features)
    records = np.frombuffer(content, dtype, info.chunk_count)
    if dtype == CHUNK_INFO_V1:
        return _unpack_v1(records, content)
    tail = memoryview(content)[dtype.itemsize * info.chunk_count : info.meta_ci_uncompressed_size]
    contexts, dictionary = _contexts(info, header, tail)
    return _unpack_v2(info, records, contexts, dictionary, content)


def _unpack_v1(records: np.ndarray, content: bytes) -> BlobMeta:
    # Sizes are kept less one, in 24 bits that do not lie together.
    compressed, plain = records["compressed"], records["uncompressed"]
    return plain_meta(
        (compressed & 0xFF_FFFF_FFFF).astype(np.int64),
        (((compressed & 0xF00_0000_0000) >> 20) | (compressed >> 44)).astype(np.int64) + 1,
        (plain & 0xFFF_FFFF_F000).astype(np.int64),
        (((plain & 0xF00) << 12) | (plain >> 44)).astype(np.int64) + 1,
        content,
    )


def _contexts(info: BlobInfo, header: np.void, tail: memoryview) -> tuple[np.ndarray, bytes]:
    """The contexts behind the array, and what lies behind them: the inflate dictionaries."""
    dtype = ZRAN_CONTEXT if info.has_feature(BlobFeatures.ZRAN) else BATCH_CONTEXT
    if not info.features & (BlobFeatures.ZRAN | BlobFeatures.BATCH):
        if len(tail):
            raise _broken(info, f"{len(tail)} bytes lie behind the chunks", "ci_uncompressed_size")
        return np.zeros(0, dtype), b""
    start = info.meta_ci_uncompressed_size - len(tail)
    count, size = int(header["zran_count"]), int(header["zran_size"])
    if int(header["zran_offset"]) != start or size != len(tail) or count * dtype.itemsize > size:
        raise _broken(info, f"{count} contexts are not {size} bytes behind the chunks", "zran_size")
    contexts = np.frombuffer(tail, dtype, count)
    return contexts, bytes(tail[count * dtype.itemsize :]) if dtype == ZRAN_CONTEXT else b""


def _unpack_v2(
    info: BlobInfo, records: np.ndarray, contexts: np.ndarray, dictionary: bytes, content: bytes
) -> BlobMeta:
    compressed, plain, data = records["compressed"], records["uncompressed"], records["data"]
    flags = (plain >> 56).astype(np.int64)
    offset, size = (compressed & 0xFF_FFFF_FFFF).astype(np.int64), (compressed >> 40).astype(np.int64)
    plain_size = ((plain >> 32) & 0xFF_FFFF).astype(np.int64) + 1
    batch, zran = flags & CHUNK_IS_BATCH != 0, flags & CHUNK_IS_ZRAN != 0
    shared = batch | zran
    number = np.where(shared, (data >> 32).astype(np.int64), 0)
    low = (data & 0xFFFF_FFFF).astype(np.int64)
    _check_contexts(info, batch, zran, number, contexts)
    unit = _first_of_units(info, shared, number)
    unit_offset, unit_size = np.where(shared, low, 0), plain_size
    own_size = np.where(batch, 0, size)
    if len(contexts) and zran.any():
        offset, size = contexts["in_offset"][number].astype(np.int64), contexts["in_size"][number].astype(np.int64)
        unit_size = contexts["out_size"][number].astype(np.int64)
    elif len(contexts):
        size = np.where(batch, contexts["compressed_size"][number], size)
        unit_size = np.where(batch, contexts["uncompressed_size"][number], plain_size)
    _check_units(info, shared, offset, unit, unit_offset + plain_size, unit_size)
    checked = (flags & CHUNK_HAS_CRC32 != 0) & ~shared
    return BlobMeta(
        compressed_offset=offset,
        compressed_size=size,
        uncompressed_offset=((plain & 0xFFFF_FFFF) << 12).astype(np.int64),
        uncompressed_size=plain_size,
        compressed=flags & CHUNK_IS_COMPRESSED != 0,
        encrypted=flags & CHUNK_IS_ENCRYPTED != 0,
        crc32c=np.where(checked, low, 0).astype(np.uint32),
        has_crc32c=checked,
        unit=unit,
        unit_offset=unit_offset.astype(np.int32),
        unit_size=unit_size.astype(np.int32),
        kind=np.where(batch, BATCH, np.where(zran, ZRAN, PLAIN)).astype(np.uint8),
        own_size=own_size,
        content=content,
        context=number,
        contexts=contexts,
        dictionary=dictionary,
    )


def _check_contexts(info: BlobInfo, batch: Bool, zran: Bool, number: I64, contexts: np.ndarray) -> None:
    of_batch, of_zran = info.has_feature(BlobFeatures.BATCH), info.has_feature(BlobFeatures.ZRAN)
    wrong = (batch & (not of_batch)) | (zran != of_zran) | ((batch | zran) & (number >= len(contexts)))
    if wrong.any():
        raise _broken(info, "a chunk's batch or inflate context is not there", chunk=_at(wrong))


def _first_of_units(info: BlobInfo, shared: Bool, number: I64) -> I64:
    """The first chunk of each chunk's unit; a unit's chunks are neighbours, and units are in order."""
    if not len(shared):
        return np.zeros(0, np.int64)
    again = np.append(False, shared[1:] & shared[:-1] & (number[1:] == number[:-1]))
    starts = np.flatnonzero(shared & ~again)
    unordered = np.diff(number[starts]) <= 0
    if unordered.any():
        raise _broken(info, "a batch's or an inflate context's chunks do not lie together", chunk=_at(unordered))
    rows = np.arange(len(shared))
    return np.maximum.accumulate(np.where(again, 0, rows))


def _check_units(info: BlobInfo, shared: Bool, offset: I64, unit: I64, end: I64, size: I64) -> None:
    checks = {
        "is not where its batch is": offset != offset[unit],
        "is larger than a chunk may be": size > MAX_CHUNK_SIZE,
        "does not fit its batch or inflate context": shared & (end > size),
    }
    for complaint, wrong in checks.items():
        if wrong.any():
            raise _broken(info, f"a chunk {complaint}", chunk=_at(wrong))


def _at(wrong: Bool) -> int:
    return int(np.flatnonzero(wrong)[0])


def _broken(info: BlobInfo, what: str, field: str = "chunk_info", chunk: int | None = None) -> FormatError:
    return FormatError(f"blob.meta: {what}", blob=info.blob_id, field=field, chunk=chunk)
