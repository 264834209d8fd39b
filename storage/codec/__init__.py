"""Compression, encryption, digests and checksums, by their ids on disk."""

from storage.codec._buffers import buffer
from storage.codec._cipher import Cipher, decrypt, encrypt
from storage.codec._compress import Compressor, compress, decompress_into
from storage.codec._digest import Digester, crc32c, digest

__all__ = [
    "Cipher",
    "Compressor",
    "Digester",
    "buffer",
    "compress",
    "crc32c",
    "decompress_into",
    "decrypt",
    "digest",
    "encrypt",
]
