"""The chunk table: ``blob.meta`` of every blob, joined with the digests that the bootstrap knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from storage.codec import Cipher
from storage.errors import FormatError
from storage.image._chunk_info import BlobMeta, plain_meta
from storage.image._inflate import inflate_contexts
from storage.image._ondisk import BLOCK_SIZE, CHUNK_HAS_CRC32, MAX_CHUNK_SIZE, RECORD_IS_ENCRYPTED
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import PLAIN, ZRAN, Blobs, Chunks

__all__ = ["blob_rows", "check_meta", "chunk_rows", "chunk_table", "metas_of_records"]

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
    rows = chunk_rows(records, blobs)
    columns = {}
    for name in ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size"):
        columns[name] = np.zeros(int(blobs.chunk_count.sum()), np.int64)
        columns[name][rows] = records[name]
    count = len(columns["compressed_size"])
    known, flags = np.zeros(count, np.bool_), np.zeros(count, np.uint32)
    known[rows], flags[rows] = True, records["flags"]
    placed = columns["compressed_size"] > 0  # a batch's chunks are not
    metas = []
    for info in infos:
        first = int(blobs.first_chunk[info.blob_index])
        part = slice(first, first + info.chunk_count)
        ends = (columns["compressed_offset"] + columns["compressed_size"])[part]
        plain_ends = (columns["uncompressed_offset"] + columns["uncompressed_size"])[part]
        meta = plain_meta(
            _filled(columns["compressed_offset"][part], ends, placed[part]),
            columns["compressed_size"][part],
            _filled(columns["uncompressed_offset"][part], -(-plain_ends // BLOCK_SIZE) * BLOCK_SIZE, known[part]),
            columns["uncompressed_size"][part],
            b"",
        )
        encrypted = flags[part] & RECORD_IS_ENCRYPTED != 0
        metas.append(replace(meta, encrypted=encrypted) if encrypted.any() else meta)
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
        If a chunk is told differently by both.
    """
    count = int(blobs.chunk_count.sum())
    rows = chunk_rows(records, blobs)
    digest, crc = np.zeros((count, 32), np.uint8), np.zeros(count, np.uint32)
    has_digest, has_crc = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    checked = (records["flags"] & CHUNK_HAS_CRC32) != 0
    digest[rows], has_digest[rows] = records["digest"], True
    outside = np.array([info.has_feature(BlobFeatures.EXTERNAL) for info in infos], np.bool_)
    if outside.any():  # of whose chunks a builder need not know the digests
        has_digest &= digest.any(axis=1) | ~np.repeat(outside, blobs.chunk_count)
    crc[rows], has_crc[rows] = np.where(checked, records["crc32"], 0), checked
    for info, meta in zip(infos, metas, strict=True):
        _join_digests(info, meta, digest, has_digest, int(blobs.first_chunk[info.blob_index]))
    columns = {name: _concatenated(metas, name, dtype) for name, dtype in _COLUMNS.items()}
    its_crc, has_its = columns.pop("crc32c"), columns.pop("has_crc32c")
    chunks = Chunks(
        blob=np.repeat(np.arange(len(infos), dtype=np.int32), blobs.chunk_count),
        index=(np.arange(count) - np.repeat(blobs.first_chunk, blobs.chunk_count)).astype(np.int32),
        digest=digest,
        has_digest=has_digest,
        crc32c=np.where(has_crc, crc, its_crc),
        has_crc32c=has_crc | has_its,
        unit=columns.pop("unit") + np.repeat(blobs.first_chunk, blobs.chunk_count),
        **columns,
        inflate=inflate_contexts(infos, metas, blobs),
    )
    _check_join(chunks, records, rows)
    differ = has_crc & has_its & (crc != its_crc)
    if differ.any():
        at = int(np.flatnonzero(differ)[0])
        raise FormatError("bootstrap and blob.meta differ in crc32", field="chunk_table", chunk=at)
    return chunks


def _join_digests(info: BlobInfo, meta: BlobMeta, digest: np.ndarray, known: np.ndarray, first: int) -> None:
    """Give chunks that the bootstrap does not name the digests that their blob knows."""
    if not len(meta.digests):
        return
    part = slice(first, first + info.chunk_count)
    differ = known[part] & (digest[part] != meta.digests).any(axis=1)
    if differ.any():
        at = int(np.flatnonzero(differ)[0])
        raise FormatError("bootstrap and blob.digest differ in a chunk's digest", blob=info.blob_id, chunk=at)
    digest[part], known[part] = meta.digests, True


_SPANS = ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")
_COLUMNS: dict[str, type[np.generic]] = {
    **dict.fromkeys(_SPANS, np.int64),
    "compressed": np.bool_,
    "encrypted": np.bool_,
    "crc32c": np.uint32,
    "has_crc32c": np.bool_,
    "unit": np.int64,
    "unit_offset": np.int32,
    "unit_size": np.int32,
    "kind": np.uint8,
    "own_size": np.int64,
}


def _concatenated(metas: Sequence[BlobMeta], name: str, dtype: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *(getattr(meta, name) for meta in metas)])


def chunk_rows(records: np.ndarray, blobs: Blobs) -> I64:
    """Rows of the chunk table that the bootstrap's records are about.

    Raises
    ------
    FormatError
        If one is of no blob.
    """
    blob, index = records["blob_index"].astype(np.int64), records["index"].astype(np.int64)
    wrong = blob >= len(blobs)
    if not wrong.any() and len(blob):
        wrong = index >= blobs.chunk_count[blob]
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise FormatError("a record of the chunk table is of no blob", field="chunk_table", chunk=place)
    rows: I64 = blobs.first_chunk[blob] + index if len(blob) else np.zeros(0, np.int64)
    return rows


def check_meta(info: BlobInfo, meta: BlobMeta) -> None:
    """Check a blob's chunks against the blob.

    Raises
    ------
    FormatError
        If one lies outside, overlaps another, or contradicts itself.
    """
    start, end = meta.compressed_offset, meta.compressed_offset + meta.compressed_size
    plain_end = meta.uncompressed_offset + meta.uncompressed_size
    alone, first = meta.kind == PLAIN, meta.unit == np.arange(len(meta.unit))
    raw = alone & ~meta.compressed & ~meta.encrypted
    checks = {
        "is empty or too long": meta.uncompressed_size > MAX_CHUNK_SIZE,
        "is stored in more than a chunk may be": meta.compressed_size > _MAX_STORED,
        "is not compressed, and has two sizes": raw & (meta.compressed_size != meta.uncompressed_size),
        "lies outside its blob": (end > info.compressed_size) | (plain_end > info.uncompressed_size),
        # Pieces of a gzip stream share the block in which one ends and the next one begins.
        "begins before the one before it ends": (first & _overlaps(start, np.where(meta.kind == ZRAN, start, end)))
        | _overlaps(meta.uncompressed_offset, plain_end),
        "is not aligned": meta.uncompressed_offset % BLOCK_SIZE != 0,
        "is encrypted in a blob that is not": meta.encrypted & (info.cipher == Cipher.NONE),
    }
    for complaint, wrong in checks.items():
        if wrong.any():
            raise FormatError(f"a chunk {complaint}", blob=info.blob_id, chunk=int(np.flatnonzero(wrong)[0]))


# What does not get smaller is stored as it is; some codecs need a little more for that.
_MAX_STORED = 2 * MAX_CHUNK_SIZE


def _overlaps(start: I64, end: I64) -> np.ndarray:
    return np.append(False, start[1:] < end[:-1]) if len(start) else np.zeros(0, np.bool_)


def _check_join(chunks: Chunks, records: np.ndarray, rows: I64) -> None:
    # Where a chunk of a batch or of an inflate context lies, only blob.meta knows.
    alone = (chunks.kind[rows] == PLAIN) & (records["compressed_size"] > 0)
    for name in _SPANS:
        wrong = getattr(chunks, name)[rows] != records[name].astype(np.int64)
        if name.startswith("compressed"):
            wrong &= alone
        if wrong.any():
            place = int(rows[wrong][0])
            raise FormatError(f"bootstrap and blob.meta differ in {name}", field="chunk_table", chunk=place)
