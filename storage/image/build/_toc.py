"""A blob as a tar whose headers lie behind their files, and its table of contents.

Source: nydus ``storage/src/meta/toc.rs``, ``builder/src/lib.rs``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from storage.codec import Compressor, compress
from storage.image._contents import TOC_COMPRESSORS, TOC_ENTRY
from storage.image.build._sink import Sink

__all__ = ["Toc", "tar_header", "write_bootstrap", "write_digests", "write_toc"]

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

    def add_meta(self, compressor: Compressor, array: bytes, header: bytes, offset: int, stored: int) -> None:
        """Say where ``blob.meta`` lies: `stored` bytes of its array from `offset`, and behind them its header."""
        self.add("blob.meta", compressor, hashlib.sha256(array).digest(), offset, stored, len(array))
        digest, size = hashlib.sha256(header).digest(), len(header)
        self.add("blob.meta.header", Compressor.NONE, digest, offset + stored, size, size)

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


def write_digests(digests: Iterable[bytes], out: Sink, toc: Toc) -> None:
    """Write what the blob's chunks are called, in their order."""
    table = b"".join(digests)
    toc.add("blob.digest", Compressor.NONE, hashlib.sha256(table).digest(), out.size, len(table), len(table))
    out.write(table, counted=False)  # as the reference has it
    out.write(tar_header("blob.digest", len(table)))


def write_toc(out: Sink, toc: Toc) -> tuple[int, bytes]:
    """Write the table of contents to the end; returns its size and SHA-256."""
    table, digest = toc.dump()
    out.write(table)
    return len(table), digest


def write_bootstrap(image: bytes, out: Sink, toc: Toc | None) -> None:
    """Write the bootstrap to the end; with a table of contents, which comes behind it, it is compressed."""
    stored, compressor = image, Compressor.NONE
    if toc is not None:
        packed = compress(Compressor.ZSTD, image)
        if len(packed) < len(image):
            stored, compressor = packed, Compressor.ZSTD
        toc.add("image.boot", compressor, hashlib.sha256(image).digest(), out.size, len(stored), len(image))
    out.write(stored)
    out.write(tar_header("image.boot", len(stored)))
    if toc is not None:
        write_toc(out, toc)
