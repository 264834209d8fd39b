"""Digests of chunks by on-disk id, and the checksum of a chunk table.

Source: nydus ``utils/src/digest.rs``, ``utils/src/crc32.rs``.
"""

from __future__ import annotations

import hashlib

import google_crc32c
from blake3 import blake3

from storage.codec._named import Named

__all__ = ["Digester", "crc32c", "digest"]


class Digester(Named):
    """Digest algorithms, by their id on disk. All are of 32 bytes."""

    BLAKE3 = 0
    SHA256 = 1


def digest(digester: Digester, data: bytes | memoryview) -> bytes:
    """The digest of `data`, 32 bytes."""
    if digester is Digester.SHA256:
        return hashlib.sha256(data).digest()
    return blake3(data).digest()


def crc32c(data: bytes | memoryview) -> int:
    """The CRC32C (Castagnoli) of `data`."""
    return int(google_crc32c.value(bytes(data) if isinstance(data, memoryview) else data))
