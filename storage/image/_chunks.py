"""The chunk table: ``blob.meta`` of every blob, joined with the digests that the bootstrap knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._meta import BlobMeta
from storage.image._ondisk import BLOCK_SIZE, CHUNK_HAS_CRC32, MAX_CHUNK_SIZE
from storage.image.blob_info import BlobInfo
from storage.image.tables import Blobs, Chunks

__all__ = ["blob_rows", "chunk_table", "metas_of_records"]

I64 = npt.NDArray[np.int64]


def blob_rows(infos: Sequence[BlobInfo]) -> Blobs:
    """Where each blob's chunks are in the chunk table."""
    counts = np.array([info.chunk_count for info in infos], np.int64)
    return Blobs(
        first_chunk=np.cumsum(counts) - counts,
        chunk_count=counts,
        compressed_size=np.array([info.compressed_size for info in infos], np.int64),
        uncompressed_size=np.array([info.uncompressed_size for info in infos], np.int64),
    )


def metas_of_records(infos: Sequence[BlobInfo], records: np.ndarray, blobs: Blobs) -> list[BlobMeta]:
    """Stand-ins for ``blob.meta`` from the bootstrap's own chunk table, for want of the blobs.

    Chunks of a blob that the bootstrap does not use are left empty.
    """
    rows = _rows(records, blobs)
    columns = {}
    for name in ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size"):
        columns[name] = np.zeros(int(blobs.chunk_count.sum()), np.int64)
        columns[name][rows] = records[name]
    known = np.zeros(len(columns["compressed_offset"]), np.bool_)
    known[rows] = True
    metas = []
    for info in infos:
        first = int(blobs.first_chunk[info.blob_index])
        part = slice(first, first + info.chunk_count)
        ends = (columns["compressed_offset"] + columns["compressed_size"])[part]
        plain_ends = (columns["uncompressed_offset"] + columns["uncompressed_size"])[part]
        metas.append(
            BlobMeta(
                _filled(columns["compressed_offset"][part], ends, known[part]),
                columns["compressed_size"][part],
                _filled(columns["uncompressed_offset"][part], -(-plain_ends // BLOCK_SIZE) * BLOCK_SIZE, known[part]),
                columns["uncompressed_size"][part],
                b"",
            )
        )
    return metas


def _filled(offsets: I64, ends: I64, known: np.ndarray) -> I64:
    """Offsets with those of unknown chunks set to where the last known one ends."""
    filled = np.where(known, offsets, np.maximum.accumulate(np.where(known, ends, 0)))
    return filled.astype(np.int64)


def chunk_table(infos: Sequence[BlobInfo], metas: Sequence[BlobMeta], records: np.ndarray, blobs: Blobs) -> Chunks:
    """Join the metas of all blobs with the records of the bootstrap's chunk table.

    Raises
    ------
    FormatError
        If a chunk lies outside its blob, overlaps another, or is told differently by both.
    """
    for info, meta in zip(infos, metas, strict=True):
        _check_meta(info, meta)
    count = int(blobs.chunk_count.sum())
    rows = _rows(records, blobs)
    digest, crc = np.zeros((count, 32), np.uint8), np.zeros(count, np.uint32)
    has_digest, has_crc = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    checked = (records["flags"] & CHUNK_HAS_CRC32) != 0
    digest[rows], has_digest[rows] = records["digest"], True
    crc[rows], has_crc[rows] = np.where(checked, records["crc32"], 0), checked
    columns = {name: _concatenated(metas, name) for name in _SPANS}
    chunks = Chunks(
        blob=np.repeat(np.arange(len(infos), dtype=np.int32), blobs.chunk_count),
        index=(np.arange(count) - np.repeat(blobs.first_chunk, blobs.chunk_count)).astype(np.int32),
        compressed=columns["compressed_size"] != columns["uncompressed_size"],
        digest=digest,
        has_digest=has_digest,
        crc32c=crc,
        has_crc32c=has_crc,
        **columns,
    )
    _check_join(chunks, records, rows)
    return chunks


_SPANS = ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")


def _concatenated(metas: Sequence[BlobMeta], name: str) -> I64:
    return np.concatenate([np.zeros(0, np.int64), *(getattr(meta, name) for meta in metas)])


def _rows(records: np.ndarray, blobs: Blobs) -> I64:
    """Rows of the chunk table that the bootstrap's records are about."""
    blob, index = records["blob_index"].astype(np.int64), records["index"].astype(np.int64)
    wrong = blob >= len(blobs)
    if not wrong.any() and len(blob):
        wrong = index >= blobs.chunk_count[blob]
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise FormatError("a record of the chunk table is of no blob", field="chunk_table", chunk=place)
    rows: I64 = blobs.first_chunk[blob] + index if len(blob) else np.zeros(0, np.int64)
    return rows


def _check_meta(info: BlobInfo, meta: BlobMeta) -> None:
    end = meta.compressed_offset + meta.compressed_size
    plain_end = meta.uncompressed_offset + meta.uncompressed_size
    checks = {
        "is empty or too long": meta.uncompressed_size > MAX_CHUNK_SIZE,
        "lies outside its blob": (end > info.compressed_size) | (plain_end > info.uncompressed_size),
        "begins before the one before it ends": _overlaps(meta.compressed_offset, end)
        | _overlaps(meta.uncompressed_offset, plain_end),
        "is not aligned": meta.uncompressed_offset % BLOCK_SIZE != 0,
    }
    for complaint, wrong in checks.items():
        if wrong.any():
            raise FormatError(f"a chunk {complaint}", blob=info.blob_id, chunk=int(np.flatnonzero(wrong)[0]))


def _overlaps(start: I64, end: I64) -> np.ndarray:
    return np.append(False, start[1:] < end[:-1]) if len(start) else np.zeros(0, np.bool_)


def _check_join(chunks: Chunks, records: np.ndarray, rows: I64) -> None:
    for name in _SPANS:
        wrong = getattr(chunks, name)[rows] != records[name].astype(np.int64)
        if wrong.any():
            place = int(rows[wrong][0])
            raise FormatError(f"bootstrap and blob.meta differ in {name}", field="chunk_table", chunk=place)
