"""The chunks of an image that is being made."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["OWN", "ChunkList", "Unit"]

OWN = -1  # the blob that is written, among those of the chunk dict


@dataclass(slots=True)
class Unit:
    """What is stored as one: rows of the chunk list, and where it lies; several rows are a batch."""

    rows: list[int]
    plain_size: int
    batch: bool
    offset: int = 0
    size: int = 0


@dataclass
class ChunkList:
    """The chunks of an image: equally long lists.

    Attributes
    ----------
    blob, index
        Which blob a chunk is in, and its index there.
    flags
        As the chunk table has them: whether it is compressed, has a CRC32C, and so on.
    blobs
        Which blobs those are, in the order of their first use: blobs of the chunk dict, or OWN.
    units
        Of the blob that is written.
    duplicates
        Chunks that were there already.
    """

    blob: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    digest: list[bytes] = field(default_factory=list)
    crc32c: list[int] = field(default_factory=list)
    compressed_offset: list[int] = field(default_factory=list)
    compressed_size: list[int] = field(default_factory=list)
    uncompressed_offset: list[int] = field(default_factory=list)
    uncompressed_size: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    blobs: list[int] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    duplicates: int = 0

    def __len__(self) -> int:
        return len(self.digest)

    @property
    def own(self) -> list[int]:
        """Rows in the blob that is written, in its order."""
        return [row for unit in self.units for row in unit.rows]

    def append(
        self,
        blob: int,
        key: bytes,
        *,
        index: int,
        crc32c: int,
        flags: int,
        uncompressed_offset: int,
        uncompressed_size: int,
        compressed_offset: int = 0,
        compressed_size: int = 0,
    ) -> int:
        """Add a chunk of a blob as `blobs` has it; returns its row."""
        if blob not in self.blobs:
            self.blobs.append(blob)
        self.blob.append(self.blobs.index(blob))
        self.digest.append(key)
        self.index.append(index)
        self.crc32c.append(crc32c)
        self.flags.append(flags)
        self.uncompressed_offset.append(uncompressed_offset)
        self.uncompressed_size.append(uncompressed_size)
        self.compressed_offset.append(compressed_offset)
        self.compressed_size.append(compressed_size)
        return len(self.digest) - 1
