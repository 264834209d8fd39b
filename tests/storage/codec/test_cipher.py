"""Encryption: the standard's vectors, the reference's padding, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec import Cipher, decrypt, encrypt
from storage.errors import FormatError, UnsupportedError

KEY, IV = bytes(range(32)), bytes(range(100, 116))


@given(st.binary(max_size=100))
def test_round_trip(data: bytes) -> None:
    """What is encrypted comes back; what is shorter than 16 bytes takes 18, the rest as many as it has."""
    stored = encrypt(Cipher.AES128XTS, KEY, IV, data)
    assert len(stored) == (18 if len(data) < 16 else len(data))
    if data:
        assert decrypt(Cipher.AES128XTS, KEY, IV, stored) == data


def test_vector() -> None:
    """Vector 2 of IEEE 1619 for XTS-AES-128."""
    key = bytes.fromhex("1111111111111111111111111111111122222222222222222222222222222222")
    stored = encrypt(Cipher.AES128XTS, key, (0x3333333333).to_bytes(16, "little"), b"\x44" * 32)
    assert stored.hex() == "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"


@pytest.mark.parametrize("data", [b"a" * 15 + b"\x05" + b"\x78\x90", b"\x10" * 16 + b"\x78\x90"])
def test_what_ends_like_padding(data: bytes) -> None:
    """18 bytes that end as padding does, but are none, are left whole."""
    assert decrypt(Cipher.AES128XTS, KEY, IV, encrypt(Cipher.AES128XTS, KEY, IV, data)) == data


def test_refused() -> None:
    """Ciphers that cannot work are refused by name; too few bytes, and a key of equal halves, as broken."""
    for cipher in (Cipher.AES256XTS, Cipher.AES256GCM):
        with pytest.raises(UnsupportedError, match=str(cipher)):
            decrypt(cipher, KEY, IV, bytes(32))
    with pytest.raises(FormatError, match="15 bytes are too few"):
        decrypt(Cipher.AES128XTS, KEY, IV, bytes(15))
    with pytest.raises(FormatError, match="is not a key of aes128xts"):
        decrypt(Cipher.AES128XTS, bytes(32), IV, bytes(16))
