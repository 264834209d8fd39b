"""Pages of a cache file: the standard's vector, XTS done block by block, keys by digest."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from storage.codec import PAGE_SIZE, PageCipher

KEY, DIGEST = bytes(range(32)), bytes(range(100, 132))


def by_hand(key: bytes, page: bytes) -> bytes:
    """A page by the definition of XTS, out of single blocks: the tweak is 0, and doubles with each block."""
    data, tweaks = (Cipher(algorithms.AES(part), modes.ECB()).encryptor().update for part in (key[:16], key[16:]))
    tweak, out = int.from_bytes(tweaks(bytes(16)), "little"), b""
    for at in range(0, len(page), 16):
        block = int.from_bytes(page[at : at + 16], "little") ^ tweak
        block = int.from_bytes(data(block.to_bytes(16, "little")), "little") ^ tweak
        out += block.to_bytes(16, "little")
        tweak = (tweak << 1) ^ (0x87 | 1 << 128 if tweak >> 127 else 0)
    return out


def test_vector() -> None:
    """Vector 4 of IEEE 1619, whose tweak is 0, is how each page begins."""
    key = bytes.fromhex("2718281828459045235360287471352631415926535897932384626433832795")
    sector = bytes(range(256)) * 2
    stored = PageCipher(key).encrypt(memoryview((sector + bytes(PAGE_SIZE - 512)) * 2), DIGEST)
    expected = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"
    assert [stored[at : at + 32].hex() for at in (0, PAGE_SIZE)] == [expected, expected]


@given(st.binary(min_size=1, max_size=3 * PAGE_SIZE))
def test_pages(plain: bytes) -> None:
    """Whole pages are stored, the last filled up with zeros, each alone; they come back."""
    cipher = PageCipher(KEY)
    stored = cipher.encrypt(memoryview(plain), DIGEST)
    padded = plain + bytes(-len(plain) % PAGE_SIZE)
    assert stored == b"".join(by_hand(KEY, padded[at : at + PAGE_SIZE]) for at in range(0, len(padded), PAGE_SIZE))
    cipher.decrypt(stored, DIGEST)
    assert stored == padded


@given(st.binary(min_size=32, max_size=32).filter(lambda key: key[:16] != key[16:]), st.integers(1, 5))
def test_pages_as_the_library_has_them(key: bytes, count: int) -> None:
    """Each page is what the library's XTS makes of it, with tweak 0."""
    plain = bytes(range(256)) * (count * PAGE_SIZE // 256)
    theirs = Cipher(algorithms.AES(key), modes.XTS(bytes(16)))
    pages = (plain[at : at + PAGE_SIZE] for at in range(0, len(plain), PAGE_SIZE))
    expected = b"".join(theirs.encryptor().update(page) for page in pages)
    assert PageCipher(key).encrypt(memoryview(plain), DIGEST) == expected


@pytest.mark.parametrize(
    ("digest", "key"),
    [(DIGEST, DIGEST), (bytes(32), bytes.fromhex("aced146994231eca448ced2f6b400c00fdbb3facddc7d9ee83f65cd93caa287c"))],
)
def test_convergent(digest: bytes, key: bytes) -> None:
    """The key is the chunk's digest; nydusd's own where that is none."""
    assert PageCipher(KEY, convergent=True).encrypt(memoryview(b"a"), digest) == by_hand(
        key, b"a".ljust(PAGE_SIZE, b"\0")
    )
