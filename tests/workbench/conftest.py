"""An image's tables made by hand, for rooms that need no more of an image than these."""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pytest

from storage.image.tables import Blobs, Chunks, Extents, Inodes

FILES = {
    # path: (chunk, bytes) pieces
    "lib/app/big.so": [(0, 1000), (1, 500)],
    "lib/app/one.py": [(2, 300)],
    "lib/copy.py": [(2, 300)],
    "lib/data/table.bin": [(3, 4000)],
}
PACKED = (400, 200, 100, 3000, 50)
SIZES = (1000, 500, 300, 4000, 60)


class HandMade(NamedTuple):
    """Four files of two directories over five chunks in two blobs; the last chunk belongs to no file."""

    chunks: Chunks
    extents: Extents
    inodes: Inodes
    blobs: Blobs

    def paths(self) -> tuple[list[bytes], np.ndarray]:
        """Files have rows 1.. in `inodes`; the last one has a second name."""
        return [b"/", *(f"/{name}".encode() for name in FILES), b"/lib/zz-link"], np.array([0, 1, 2, 3, 4, 4])


@pytest.fixture
def hand_made() -> HandMade:
    """The tables of `HandMade`."""
    blob = np.array([0, 0, 0, 1, 1], np.int32)
    packed, sizes = np.array(PACKED, np.int64), np.array(SIZES, np.int64)
    chunks = Chunks(
        blob=blob,
        index=np.array([0, 1, 2, 0, 1], np.int32),
        compressed_offset=np.array([0, 400, 600, 0, 3000], np.int64),
        compressed_size=packed,
        uncompressed_offset=np.array([0, 4096, 8192, 0, 4096], np.int64),
        uncompressed_size=sizes,
        compressed=np.ones(5, bool),
        digest=np.zeros((5, 32), np.uint8),
        has_digest=np.array([True, True, True, True, False]),
        crc32c=np.zeros(5, np.uint32),
        has_crc32c=np.zeros(5, bool),
        encrypted=np.zeros(5, bool),
        unit=np.arange(5),
        unit_offset=np.zeros(5, np.int32),
        unit_size=np.array(SIZES, np.int32),
        kind=np.zeros(5, np.uint8),
        own_size=packed,
    )
    pieces = [(i, chunk, n) for i, file in enumerate(FILES.values(), 1) for chunk, n in file]
    extents = Extents(
        inode=np.array([p[0] for p in pieces], np.int32),
        offset=np.array([0, 1000, 0, 0, 0], np.int64),
        length=np.array([p[2] for p in pieces], np.int64),
        chunk=np.array([p[1] for p in pieces], np.int64),
    )
    inodes = Inodes(**{column.name: np.zeros(5, np.int64) for column in fields(Inodes)})
    blobs = Blobs(
        first_chunk=np.array([0, 3]), chunk_count=np.array([3, 2]),
        compressed_size=np.array([700, 3050]), uncompressed_size=np.array([1800, 4060]),
    )  # fmt: skip
    return HandMade(chunks, extents, inodes, blobs)
