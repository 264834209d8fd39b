"""Encryption of a cache file, page by page, as nydusd does it: AES-128-XTS, each page of 4096 bytes with tweak 0.

XTS is AES of each block with a word added before and after it, of which there is a row that begins at the tweak. As
that is the same for all pages, whole chunks are added to and gone through at once: a context for each page, as the
library has it, takes five times as long as the bytes do.

Source: IEEE 1619; nydus ``storage/src/cache/cachedfile.rs`` (`delay_persist_chunk_data`), ``utils/src/crypt.rs``
(`generate_cipher_meta`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from storage.codec._buffers import buffer, new_pages
from storage.codec._cipher import KEY_SIZE
from storage.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
    from cryptography.hazmat.primitives.ciphers.modes import ECB

__all__ = ["PAGE_SIZE", "PageCipher"]

PAGE_SIZE = 4096
_BLOCK = 16
# What is added to a block that was doubled out of its 128 bits.
_OVER = 1 << 128 | 0x87
# What nydusd takes where a digest, being no key (both its halves are equal), cannot be one.
_DEFAULT_KEY = bytes.fromhex("aced146994231eca448ced2f6b400c00fdbb3facddc7d9ee83f65cd93caa287c")


class PageCipher:
    """Encrypts chunks for a cache file.

    Parameters
    ----------
    key
        32 bytes, whose halves differ.
    convergent
        Take each chunk's digest for its key, so that equal chunks are equal on disk.

    Raises
    ------
    ConfigError
        If it is not such a key.
    """

    def __init__(self, key: bytes, convergent: bool = False) -> None:
        if len(key) != KEY_SIZE or _halves_are_equal(key):
            raise ConfigError(f"is not a key: {KEY_SIZE} bytes are, of two different halves", field="encryption_key")
        self._key = key
        self._convergent = convergent

    def encrypt(self, plain: memoryview, digest: bytes) -> memoryview:
        """A chunk's bytes, and zeros up to a whole page, encrypted; valid until the next call in this thread."""
        pages = buffer("encrypted", -(-len(plain) // PAGE_SIZE) * PAGE_SIZE)
        pages[: len(plain)] = plain
        pages[len(plain) :] = bytes(len(pages) - len(plain))
        key = self._key_of(digest)
        _go_through(pages, _blocks(key[:_BLOCK]).encryptor(), _tweaks(key[_BLOCK:]))
        return pages

    def decrypt(self, pages: memoryview, digest: bytes) -> None:
        """Decrypt whole pages of a chunk, in place."""
        key = self._key_of(digest)
        _go_through(pages, _blocks(key[:_BLOCK]).decryptor(), _tweaks(key[_BLOCK:]))

    def _key_of(self, digest: bytes) -> bytes:
        if not self._convergent:
            return self._key
        return _DEFAULT_KEY if _halves_are_equal(digest) else digest


def _go_through(pages: memoryview, context: CipherContext, tweaks: npt.NDArray[np.uint64]) -> None:
    """Encrypt or decrypt in place."""
    words = np.frombuffer(pages, np.uint64).reshape(-1, len(tweaks))
    words ^= tweaks
    through = buffer("ciphered", len(pages) + _BLOCK - 1)  # as much room as the library asks for
    context.update_into(pages, through)
    np.bitwise_xor(np.frombuffer(through[: len(pages)], np.uint64).reshape(words.shape), tweaks, out=words)


def _blocks(key: bytes) -> Cipher[ECB]:
    # Few caches are encrypted, and loading this takes as long as opening an image.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.ECB())


@functools.lru_cache(256)
def _tweaks(key: bytes) -> npt.NDArray[np.uint64]:
    """What is added to the blocks of a page: tweak 0 encrypted, and doubled from block to block.

    In a page of its own, as what it is added to is: at another place in its page, loads from it would wait for stores
    to the same place in theirs, which takes five times as long.
    """
    tweak, row = int.from_bytes(_blocks(key).encryptor().update(bytes(_BLOCK)), "little"), []
    for _ in range(PAGE_SIZE // _BLOCK):
        row.append(tweak.to_bytes(_BLOCK, "little"))
        tweak <<= 1
        if tweak >> 128:
            tweak ^= _OVER
    page = new_pages(PAGE_SIZE)
    page[:] = b"".join(row)
    return np.frombuffer(page, np.uint64)


def _halves_are_equal(key: bytes) -> bool:
    half = len(key) // 2
    return key[:half] == key[half:]
