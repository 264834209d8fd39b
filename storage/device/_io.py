"""IO as upstream speaks of it: light views over rows of the chunk table.

Source: nydus ``storage/src/device.rs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from storage.image.blob_info import BlobInfo
from storage.image.tables import Chunks

__all__ = ["BlobChunkInfo", "BlobIoDesc", "BlobIoRange", "BlobIoVec", "BlobPrefetchRequest"]


@dataclass(frozen=True, slots=True)
class BlobChunkInfo:
    """One chunk: a row of the chunk table, by upstream's names.

    Attributes
    ----------
    chunks
        The table.
    row
        The chunk's row in it.
    """

    chunks: Chunks = field(repr=False)
    row: int

    @property
    def id(self) -> int:
        """Index of the chunk in its blob's ``blob.meta``."""
        return int(self.chunks.index[self.row])

    @property
    def blob_index(self) -> int:
        """Index of the blob in the blob table."""
        return int(self.chunks.blob[self.row])

    @property
    def chunk_id(self) -> bytes:
        """Digest of the uncompressed bytes; zeros where the image does not know it."""
        return bytes(self.chunks.digest[self.row])

    @property
    def compressed_offset(self) -> int:
        """Where the chunk begins in the blob."""
        return int(self.chunks.compressed_offset[self.row])

    @property
    def compressed_size(self) -> int:
        """Its bytes in the blob."""
        return int(self.chunks.compressed_size[self.row])

    @property
    def compressed_end(self) -> int:
        """Where it ends in the blob."""
        return self.compressed_offset + self.compressed_size

    @property
    def uncompressed_offset(self) -> int:
        """Where the chunk begins in the uncompressed blob, which is the cache file."""
        return int(self.chunks.uncompressed_offset[self.row])

    @property
    def uncompressed_size(self) -> int:
        """Its bytes there."""
        return int(self.chunks.uncompressed_size[self.row])

    @property
    def uncompressed_end(self) -> int:
        """Where it ends there."""
        return self.uncompressed_offset + self.uncompressed_size

    @property
    def is_compressed(self) -> bool:
        """Whether the stored bytes are compressed."""
        return bool(self.chunks.compressed[self.row])

    @property
    def has_crc32(self) -> bool:
        """Whether a CRC32C is known, which is then checked in place of the digest."""
        return bool(self.chunks.has_crc32c[self.row])

    @property
    def crc32(self) -> int:
        """CRC32C of the uncompressed bytes, 0 where unknown."""
        return int(self.chunks.crc32c[self.row])


@dataclass(frozen=True, slots=True)
class BlobIoDesc:
    """IO on one chunk: `size` bytes from `offset` within it."""

    blob: BlobInfo = field(repr=False)
    chunkinfo: BlobChunkInfo
    offset: int
    size: int
    user_io: bool = True

    def is_continuous(self, following: BlobIoDesc, max_gap: int) -> bool:
        """Whether `following` begins in the same blob at most `max_gap` bytes after this ends."""
        if self.blob.blob_index != following.blob.blob_index:
            return False
        return 0 <= following.chunkinfo.compressed_offset - self.chunkinfo.compressed_end <= max_gap


class BlobIoVec:
    """IO on chunks of one blob, in the order in which the bytes go to the user.

    Kept as three lists, not as objects: `rows` of the chunk table, and `offsets` and `lengths`
    within each chunk. Items are handed out as `BlobIoDesc`.
    """

    __slots__ = ("blob", "chunks", "lengths", "offsets", "rows", "size")

    def __init__(
        self,
        blob: BlobInfo,
        chunks: Chunks,
        rows: Sequence[int] = (),
        offsets: Sequence[int] = (),
        lengths: Sequence[int] = (),
    ) -> None:
        self.blob = blob
        self.chunks = chunks
        self.rows = list(rows)
        self.offsets = list(offsets)
        self.lengths = list(lengths)
        self.size = sum(self.lengths)

    def push(self, desc: BlobIoDesc) -> None:
        """Append one descriptor.

        Raises
        ------
        ValueError
            If it is of another blob.
        """
        if desc.blob.blob_index != self.blob.blob_index:
            raise ValueError(f"descriptor of blob {desc.blob.blob_index} in a vector of blob {self.blob.blob_index}")
        self.rows.append(desc.chunkinfo.row)
        self.offsets.append(desc.offset)
        self.lengths.append(desc.size)
        self.size += desc.size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> BlobIoDesc:
        chunk = BlobChunkInfo(self.chunks, self.rows[index])
        return BlobIoDesc(self.blob, chunk, self.offsets[index], self.lengths[index])

    def __iter__(self) -> Iterator[BlobIoDesc]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"BlobIoVec(blob={self.blob.blob_index}, size={self.size}, descriptors={len(self)})"


@dataclass(frozen=True, slots=True)
class BlobIoRange:
    """Neighbouring chunks as one backend request."""

    blob: BlobInfo
    blob_offset: int
    blob_size: int
    rows: range

    @classmethod
    def of(cls, blob: BlobInfo, chunks: Chunks, first: int, last: int) -> BlobIoRange:
        """The request for chunk rows `first` to `last`, both included."""
        start = int(chunks.compressed_offset[first])
        end = int(chunks.compressed_offset[last] + chunks.compressed_size[last])
        return cls(blob, start, end - start, range(first, last + 1))


@dataclass(frozen=True, slots=True)
class BlobPrefetchRequest:
    """A wish to have bytes `offset` to ``offset + len`` of the compressed blob read ahead."""

    blob_id: str
    offset: int
    len: int
