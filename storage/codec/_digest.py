"""Digests of chunks by on-disk id, and the checksum of a chunk table.

Source: nydus ``utils/src/digest.rs``, ``utils/src/crc32.rs``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import google_crc32c
import numpy as np
from blake3 import blake3

from storage.codec._named import Named

__all__ = ["Digester", "crc32c", "digest", "digest_all"]


class Digester(Named):
    """Digest algorithms, by their id on disk. All are of 32 bytes."""

    BLAKE3 = 0
    SHA256 = 1


def digest(digester: Digester, data: bytes | memoryview) -> bytes:
    """The digest of `data`, 32 bytes."""
    if digester is Digester.SHA256:
        return hashlib.sha256(data).digest()
    return blake3(data).digest()


def digest_all(digester: Digester, datas: Iterable[bytes | memoryview]) -> bytes:
    """The digests of all `datas`, one behind the other: for many short ones."""
    if digester is Digester.SHA256:
        return b"".join([hashlib.sha256(data).digest() for data in datas])
    hasher = blake3()  # making one takes as long as 32 bytes
    digests = []
    for data in datas:
        digests.append(hasher.update(data).digest())
        hasher.reset()
    return b"".join(digests)


def crc32c(data: bytes | memoryview) -> int:
    """The CRC32C (Castagnoli) of `data`."""
    # The library refuses a memoryview, and takes an array of the same bytes.
    return int(google_crc32c.value(data if isinstance(data, bytes) else np.frombuffer(data, np.uint8)))
