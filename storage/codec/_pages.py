"""Encryption of a cache file, page by page, as nydusd does it: AES-128-XTS, each page of 4096 bytes with tweak 0.

Source: nydus ``storage/src/cache/cachedfile.rs`` (`delay_persist_chunk_data`), ``utils/src/crypt.rs``
(`generate_cipher_meta`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.codec._cipher import IV_SIZE, KEY_SIZE
from storage.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import XTS

__all__ = ["PAGE_SIZE", "PageCipher"]

PAGE_SIZE = 4096
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

    def encrypt(self, plain: memoryview, digest: bytes) -> bytearray:
        """A chunk's bytes, and zeros up to a whole page, encrypted."""
        cipher, pages = self._cipher(digest), bytearray(-(-len(plain) // PAGE_SIZE) * PAGE_SIZE)
        for at in range(0, len(plain), PAGE_SIZE):
            page = plain[at : at + PAGE_SIZE]
            if len(page) < PAGE_SIZE:
                page = memoryview(bytes(page).ljust(PAGE_SIZE, b"\0"))
            pages[at : at + PAGE_SIZE] = cipher.encryptor().update(page)
        return pages

    def decrypt(self, pages: memoryview, digest: bytes) -> None:
        """Decrypt whole pages of a chunk, in place."""
        cipher = self._cipher(digest)
        for at in range(0, len(pages), PAGE_SIZE):
            pages[at : at + PAGE_SIZE] = cipher.decryptor().update(pages[at : at + PAGE_SIZE])

    def _cipher(self, digest: bytes) -> Cipher[XTS]:
        # Few caches are encrypted, and loading this takes as long as opening an image.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        key = self._key
        if self._convergent:
            key = _DEFAULT_KEY if _halves_are_equal(digest) else digest
        return Cipher(algorithms.AES(key), modes.XTS(bytes(IV_SIZE)))


def _halves_are_equal(key: bytes) -> bool:
    half = len(key) // 2
    return key[:half] == key[half:]
