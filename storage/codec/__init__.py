"""Compression, encryption, digests and checksums, by their ids on disk."""

from storage.codec._buffers import buffer, new_pages, recall, remember
from storage.codec._cipher import Cipher, decrypt, encrypt
from storage.codec._compress import Compressor, bound, compress, compress_into, decompress_into
from storage.codec._digest import Digester, crc32c, digest, digest_all
from storage.codec._libz import WINDOW
from storage.codec._pages import PAGE_SIZE, PageCipher
from storage.codec._zran import InflateContext, inflate_piece
from storage.codec._zran_reader import Pieces, ZranReader

__all__ = [
    "PAGE_SIZE",
    "WINDOW",
    "Cipher",
    "Compressor",
    "Digester",
    "InflateContext",
    "PageCipher",
    "Pieces",
    "ZranReader",
    "bound",
    "buffer",
    "compress",
    "compress_into",
    "crc32c",
    "decompress_into",
    "decrypt",
    "digest",
    "digest_all",
    "encrypt",
    "inflate_piece",
    "new_pages",
    "recall",
    "remember",
]
