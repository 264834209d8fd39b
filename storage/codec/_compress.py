"""Chunk compression by on-disk id, with the reference's settings and so its bytes.

Source: nydus ``utils/src/compress/mod.rs``.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable

import cramjam
import zstandard

from storage.codec._buffers import buffer
from storage.codec._named import Named
from storage.errors import FormatError

__all__ = ["Compressor", "bound", "compress", "compress_into", "decompress_into"]

_ZSTD_LEVEL = 3
_local = threading.local()


class Compressor(Named):
    """Compression algorithms, by their id on disk."""

    NONE = 0
    LZ4_BLOCK = 1
    GZIP = 2
    ZSTD = 3


def bound(size: int) -> int:
    """How long `size` bytes may become when they are compressed."""
    return size + size // 255 + 64


def compress(compressor: Compressor, data: bytes | bytearray | memoryview) -> bytes:
    """`data` compressed, whether or not that makes it smaller."""
    target = buffer("compressed", bound(len(data)))
    return bytes(target[: compress_into(compressor, data, target)])


def compress_into(compressor: Compressor, data: bytes | bytearray | memoryview, target: memoryview) -> int:
    """Compress `data` into `target`, which has its `bound` of room; returns how long it is there."""
    if compressor is Compressor.LZ4_BLOCK:
        # Not the lz4 package, whose build of the library gives other bytes than the reference.
        return int(cramjam.lz4.compress_block_into(data, target, store_size=False))
    if compressor is Compressor.ZSTD:
        # Sizes and no checksum in the frame, as zstd's bulk interface has it.
        packed = _zstd_compressor().compress(data)
    elif compressor is Compressor.GZIP:
        packed = zlib.compress(data, wbits=31)
    else:
        packed = bytes(data)
    target[: len(packed)] = packed
    return len(packed)


def decompress_into(compressor: Compressor, source: memoryview, target: memoryview) -> None:
    """Decompress a whole chunk into `target`, which is exactly as long as its bytes.

    Any number of threads may do so at once; none holds the GIL over it.

    Raises
    ------
    FormatError
        If `source` is corrupt, or is of another length when decompressed.
    """
    try:
        length = _DECODERS[compressor](source, target)
    except (cramjam.DecompressionError, zstandard.ZstdError, zlib.error, ValueError) as error:
        raise FormatError(f"corrupt {compressor} data: {error}") from error
    if length != len(target):
        raise FormatError(f"{compressor} data of {length} bytes where there should be {len(target)}")


def _zstd_compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True)
    compressor: zstandard.ZstdCompressor = _local.compressor
    return compressor


def _copy(source: memoryview, target: memoryview) -> int:
    if len(source) == len(target):
        target[:] = source
    return len(source)


def _lz4(source: memoryview, target: memoryview) -> int:
    return int(cramjam.lz4.decompress_block_into(source, target, output_len=len(target)))


def _gzip(source: memoryview, target: memoryview) -> int:
    decoder = zlib.decompressobj(wbits=31)
    plain = decoder.decompress(source, len(target) + 1)
    if len(plain) <= len(target) and not decoder.eof:
        raise ValueError("the stream ends early")
    if len(plain) == len(target):
        target[:] = plain
    return len(plain)


def _zstd(source: memoryview, target: memoryview) -> int:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    length = 0
    with _local.decompressor.stream_reader(source) as stream:
        while length < len(target):
            count = stream.readinto(target[length:])
            if count == 0:
                return length
            length += count
        return length + len(stream.read(1))


_DECODERS: dict[Compressor, Callable[[memoryview, memoryview], int]] = {
    Compressor.NONE: _copy,
    Compressor.LZ4_BLOCK: _lz4,
    Compressor.GZIP: _gzip,
    Compressor.ZSTD: _zstd,
}
