"""Digests of chunks by on-disk id, and the checksum of a chunk table.

Source: nydus ``utils/src/digest.rs``, ``utils/src/crc32.rs``.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import google_crc32c
from blake3 import blake3

from storage.errors import ConfigError

__all__ = ["Digester", "crc32c", "digest"]


class Digester(IntEnum):
    """Digest algorithms, by their id on disk. All are of 32 bytes."""

    BLAKE3 = 0
    SHA256 = 1

    @classmethod
    def from_name(cls, name: str) -> Digester:
        """The algorithm called `name`: ``blake3`` or ``sha256``.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            names = ", ".join(str(member) for member in cls)
            raise ConfigError(f"no digester is called {name!r}; there are {names}", field="digester") from None

    def __str__(self) -> str:
        return self.name.lower()


def digest(digester: Digester, data: bytes | memoryview) -> bytes:
    """The digest of `data`, 32 bytes."""
    if digester is Digester.SHA256:
        return hashlib.sha256(data).digest()
    return blake3(data).digest()


def crc32c(data: bytes | memoryview) -> int:
    """The CRC32C (Castagnoli) of `data`."""
    return int(google_crc32c.value(bytes(data) if isinstance(data, memoryview) else data))
