"""A blob as a tar whose headers lie behind their files, and its table of contents.

Source: nydus ``storage/src/meta/toc.rs``, ``builder/src/lib.rs``.
"""

from __future__ import annotations

import hashlib

import numpy as np

from storage.codec import Compressor
from storage.image._locate import TOC_COMPRESSORS, TOC_ENTRY

__all__ = ["Toc", "tar_header"]

_FLAGS = {compressor: flag for flag, compressor in TOC_COMPRESSORS.items()}


class Toc:
    """Entries of a table of contents, as they are added."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []

    def add(self, name: str, compressor: Compressor, digest: bytes, offset: int, stored: int, plain: int) -> None:
        """Say where a part of the blob lies: `stored` bytes from `offset`, of the digest when decompressed."""
        entry = np.zeros(1, TOC_ENTRY)
        entry["flags"] = _FLAGS[compressor]
        entry["name"] = name.encode()
        entry["digest"] = np.void(digest)
        entry["compressed_offset"], entry["compressed_size"], entry["uncompressed_size"] = offset, stored, plain
        self._entries.append(entry.tobytes())

    def dump(self) -> tuple[bytes, bytes]:
        """The table with its header, and the SHA-256 of both."""
        table = b"".join(self._entries)
        whole = table + tar_header("rafs.blob.toc", len(table))
        return whole, hashlib.sha256(whole).digest()


def tar_header(name: str, size: int) -> bytes:
    """The header that stands behind a file in a blob."""
    header = bytearray(512)
    fields = {0: name.encode(), 124: b"%011o" % size, 136: b"%011o" % 0, 156: b"0", 257: b"ustar  "}
    for at, value in fields.items():
        header[at : at + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%07o\0" % sum(header)
    return bytes(header)
