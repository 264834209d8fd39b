"""The chunk table of a v5 image: what the inodes say of their chunks, each chunk once.

There is no ``blob.meta``: a chunk's index in its blob stands in its record, and a chunk
that no file of this image uses is not known. Images without an extended blob table have no
indexes to rely on; theirs are given in the order of the chunks' places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._chunks import blob_rows
from storage.image._ondisk import CHUNK_HAS_CRC32, MAX_CHUNK_SIZE
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import PLAIN, Blobs, Chunks
from storage.image.v5._ondisk import CHUNK_COMPRESSED

__all__ = ["Numbered", "chunk_table", "number_chunks"]

I64 = npt.NDArray[np.int64]
_FILE_OFFSET = 64 // 8
_SPANS = ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")


@dataclass(frozen=True, eq=False)
class Numbered:
    """Chunks with their rows.

    Attributes
    ----------
    rows : (n,) int64
        The chunk-table row of each record given.
    records
        One record a row that is used.
    infos
        The blobs, with sizes and counts where the image does not tell them.
    """

    rows: I64
    records: np.ndarray
    infos: tuple[BlobInfo, ...]


def number_chunks(records: np.ndarray, offsets: I64, infos: tuple[BlobInfo, ...]) -> Numbered:
    """Rows of the files' chunk records.

    Raises
    ------
    FormatError
        If a chunk is in no blob, or two files tell the same chunk differently.
    """
    blob = records["blob_index"].astype(np.int64)
    _require(blob < len(infos), "a chunk is in a blob that the image does not have", offsets)
    index = records["index"].astype(np.int64)
    if any(info.has_feature(BlobFeatures.V5_NO_EXT_BLOB_TABLE) for info in infos):
        index, infos = _indexes(records, blob, infos)
        records["index"] = index
    blobs = blob_rows(infos)
    if len(records):
        _require(index < blobs.chunk_count[blob], "a chunk is not in its blob", offsets)
    rows = blobs.first_chunk[blob] + index if len(records) else np.zeros(0, np.int64)
    first = _first_of_each(rows)
    again = np.flatnonzero(first[rows] != np.arange(len(rows)))
    _check_same(records, first[rows[again]], again, offsets)
    used = np.flatnonzero(first >= 0)
    once = _words(records)[first[used]].view(records.dtype).reshape(-1)
    once["index"] = used - blobs.first_chunk[once["blob_index"]] if len(once) else 0
    return Numbered(rows, once, infos)


def _first_of_each(rows: I64) -> I64:
    """Where each row, up to the last, is first named, -1 where it is not."""
    first = np.full(int(rows.max(initial=-1)) + 1, -1, np.int64)
    first[rows[::-1]] = np.arange(len(rows) - 1, -1, -1)
    return first


def _words(records: np.ndarray) -> npt.NDArray[np.uint64]:
    """Records as rows of integers, which are copied and compared faster."""
    return records.view("<u8").reshape(len(records), records.dtype.itemsize // 8)


def _check_same(records: np.ndarray, told: I64, again: I64, offsets: I64) -> None:
    """All but the offset in its file is the same of a chunk, whoever tells it."""
    words = _words(records)
    other = words[told] != words[again]
    other[:, _FILE_OFFSET] = False
    if other.any():
        at = int(again[np.flatnonzero(other.any(axis=1))[0]])
        raise FormatError("two files tell a chunk differently", offset=int(offsets[at]))


def _indexes(records: np.ndarray, blob: I64, infos: Sequence[BlobInfo]) -> tuple[I64, tuple[BlobInfo, ...]]:
    """Indexes by place, and the blobs as large as their chunks are."""
    index, known = np.zeros(len(records), np.int64), list(infos)
    for info in infos:
        mine = np.flatnonzero(blob == info.blob_index)
        part = records[mine]
        places, index[mine] = np.unique(part["compressed_offset"], return_inverse=True)
        compressed, plain = (_end(part, name, info) for name in ("compressed", "uncompressed"))
        known[info.blob_index] = replace(
            info, chunk_count=len(places), compressed_size=compressed, uncompressed_size=plain
        )
    return index, tuple(known)


def _end(records: np.ndarray, name: str, info: BlobInfo) -> int:
    """Where the last of these chunks ends."""
    if (records[f"{name}_offset"] > 1 << 44).any():
        raise FormatError("a chunk lies past the end of any blob", blob=info.blob_index)
    return int((records[f"{name}_offset"] + records[f"{name}_size"]).max(initial=0))


def chunk_table(infos: Sequence[BlobInfo], blobs: Blobs, records: np.ndarray) -> Chunks:
    """All chunks of all blobs; those that the image does not use are empty.

    Raises
    ------
    FormatError
        If a chunk lies outside its blob, or overlaps another.
    """
    count = int(blobs.chunk_count.sum())
    rows = blobs.first_chunk[records["blob_index"]] + records["index"] if len(records) else np.zeros(0, np.int64)
    columns = _spans(count, rows, records)
    bounds = np.searchsorted(rows, np.append(blobs.first_chunk, count))
    for info in infos:
        first = int(blobs.first_chunk[info.blob_index])
        part = slice(first, first + info.chunk_count)
        known = rows[bounds[info.blob_index] : bounds[info.blob_index + 1]] - first
        for name in ("compressed", "uncompressed"):
            limit = getattr(info, f"{name}_size")
            _place(info, columns[f"{name}_offset"][part], columns[f"{name}_size"][part], known, limit)
    _check_sizes(records)
    checked = records["flags"] & CHUNK_HAS_CRC32 != 0
    return Chunks(
        blob=np.repeat(np.arange(len(infos), dtype=np.int32), blobs.chunk_count),
        index=np.concatenate([np.zeros(0, np.int32), *(np.arange(n, dtype=np.int32) for n in blobs.chunk_count)]),
        compressed=_scattered(count, rows, records["flags"] & CHUNK_COMPRESSED != 0),
        digest=_scattered(count, rows, records["digest"]),
        has_digest=_scattered(count, rows, np.ones(len(rows), np.bool_)),
        crc32c=_scattered(count, rows, np.where(checked, records["crc32"], 0).astype(np.uint32)),
        has_crc32c=_scattered(count, rows, checked),
        encrypted=np.zeros(count, np.bool_),
        unit=np.arange(count),
        unit_offset=np.zeros(count, np.int32),
        unit_size=columns["uncompressed_size"].astype(np.int32),
        kind=np.full(count, PLAIN, np.uint8),
        **columns,
    )


def _scattered(count: int, rows: I64, values: np.ndarray) -> np.ndarray:
    """A column with the values at their rows, and zero elsewhere."""
    column = np.zeros((count, *values.shape[1:]), values.dtype)
    column[rows] = values
    return column


def _spans(count: int, rows: I64, records: np.ndarray) -> dict[str, I64]:
    columns = {}
    for name in _SPANS:
        if (records[name] > 1 << 44).any():
            raise FormatError(f"a chunk has {name} {records[name].max()}", field=name)
        columns[name] = _scattered(count, rows, records[name].astype(np.int64))
    return columns


def _place(info: BlobInfo, offset: I64, size: I64, known: I64, limit: int) -> None:
    """Check the known chunks of a blob, and put the others where the one before them ends."""
    start = offset[known]
    end = start + size[known]
    checks = {"lies outside its blob": end > limit, "begins before the one before it ends": start[1:] < end[:-1]}
    for complaint, wrong in checks.items():
        if wrong.any():
            raise FormatError(f"a chunk {complaint}", blob=info.blob_id, chunk=int(known[np.flatnonzero(wrong)[0]]))
    if len(known) < len(offset):
        offset[:] = np.repeat(np.append(0, end), np.diff(np.concatenate([[0], known, [len(offset)]])))
        offset[known] = start


def _check_sizes(records: np.ndarray) -> None:
    stored, plain = records["compressed_size"], records["uncompressed_size"]
    compressed = records["flags"] & CHUNK_COMPRESSED != 0
    checks = {
        "is too long": (plain > MAX_CHUNK_SIZE) | (stored > 2 * MAX_CHUNK_SIZE),
        "is not compressed, but of two sizes": ~compressed & (stored != plain),
        "is compressed to nothing": compressed & (stored == 0),
    }
    for complaint, wrong in checks.items():
        if wrong.any():
            raise FormatError(f"a chunk {complaint}", chunk=int(records["index"][np.flatnonzero(wrong)[0]]))


def _require(holds: np.ndarray, what: str, offsets: I64) -> None:
    if not holds.all():
        raise FormatError(what, offset=int(offsets[~holds][0]))
