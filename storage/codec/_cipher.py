"""Encryption of chunks by on-disk id, with the reference's padding and so its bytes.

One key and one tweak serve a whole blob: equal chunks are equal when encrypted, which is what
lets them be found again.

Source: nydus ``utils/src/crypt.rs``; XTS is IEEE 1619.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.codec._buffers import buffer
from storage.codec._named import Named
from storage.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
    from cryptography.hazmat.primitives.ciphers.modes import XTS

__all__ = ["IV_SIZE", "KEY_SIZE", "PADDED_SIZE", "Cipher", "decrypt", "encrypt"]

KEY_SIZE, IV_SIZE = 32, 16
_UNIT = 16
_PADDING_MAGIC = b"\x78\x90"
PADDED_SIZE = _UNIT + len(_PADDING_MAGIC)


class Cipher(Named):
    """Encryption algorithms, by their id on disk. The last two are known and cannot be used."""

    NONE = 0
    AES128XTS = 1
    AES256XTS = 2
    AES256GCM = 3


def encrypt(cipher: Cipher, key: bytes, iv: bytes, data: bytes | memoryview) -> bytes:
    """`data` encrypted; what is shorter than a unit of 16 bytes is padded to 18.

    Raises
    ------
    UnsupportedError
        If the cipher is one that the format names but nobody can use.
    """
    if cipher is Cipher.NONE:
        return bytes(data)
    if len(data) < _UNIT:
        missing = _UNIT - len(data)
        data = bytes(data) + bytes([missing]) * missing + _PADDING_MAGIC
    context = _context(cipher, key, iv).encryptor()
    return context.update(data) + context.finalize()


def decrypt(cipher: Cipher, key: bytes, iv: bytes, data: bytes | memoryview) -> bytes | memoryview:
    """`data` decrypted, and its padding taken off; valid until the next call in this thread.

    Raises
    ------
    FormatError
        If it is too short.
    UnsupportedError
        If the cipher is one that the format names but nobody can use.
    """
    if cipher is Cipher.NONE:
        return data
    if len(data) < _UNIT:
        raise FormatError(f"{len(data)} bytes are too few for {cipher} data")
    plain = buffer("decrypted", len(data) + _UNIT - 1)  # as much room as the library asks for
    plain = plain[: _context(cipher, key, iv).decryptor().update_into(data, plain)]
    # Bytes that end like padding by chance are told apart by the rest of it.
    missing = plain[_UNIT - 1]
    padding = bytes([missing]) * missing + _PADDING_MAGIC
    if len(plain) == PADDED_SIZE and missing < _UNIT and plain[-len(padding) :] == padding:
        return plain[: _UNIT - missing]
    return plain


def _context(cipher: Cipher, key: bytes, iv: bytes) -> _Cipher[XTS]:
    # Few images are encrypted, and loading this takes as long as opening one.
    from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
    from cryptography.hazmat.primitives.ciphers import algorithms, modes

    if cipher is not Cipher.AES128XTS:
        raise UnsupportedError(f"{cipher} cannot be used: the blob table has no room for its key", field="cipher")
    if len(key) != KEY_SIZE or len(iv) != IV_SIZE or key[:_UNIT] == key[_UNIT:]:
        raise FormatError(f"is not a key of {cipher}", field="cipher_key")
    return _Cipher(algorithms.AES(key), modes.XTS(iv))
