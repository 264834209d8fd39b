"""What any cache of a blob has to do with its bytes, and nothing else: the peer of a cache of that kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from storage.codec import PAGE_SIZE, buffer, decompress_into, decrypt, digest, inflate_piece
from storage.image.tables import ZRAN
from storage.testing.blobs import Made

KEY = bytes(range(32))


class Bare:
    """One made blob, and a file of its own to keep it in.

    Parameters
    ----------
    kind
        ``plain``, ``validated``, ``raw`` or ``encrypted``; see `storage.cache.CacheKind`.
    path
        Where it is kept.
    """

    def __init__(self, made: Made, kind: str, path: Path) -> None:
        self.chunks, self.info, self.kind = made.chunks, made.infos[0], kind
        self.blob = os.open(made.folder / self.info.blob_id, os.O_RDONLY)
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(self.file, self.info.uncompressed_size + PAGE_SIZE)

    def close(self) -> None:
        """Both files."""
        os.close(self.blob)
        os.close(self.file)

    def cold(self, rows: Sequence[int], user: memoryview) -> None:
        """Fetch whole units, decode and verify their chunks, keep them, hand them out."""
        unit, plain, stored = -1, memoryview(b""), memoryview(b"")
        for row in rows:
            if unit != self.chunks.unit[row]:
                unit = int(self.chunks.unit[row])
                stored = self._stored(self.blob, row)
                plain = self._decoded(row, stored)
                if self.kind == "raw":
                    os.pwrite(self.file, stored, int(self.chunks.compressed_offset[row]))
            chunk = self._chunk(row, plain)
            if self.kind != "raw":
                kept = self._pages(chunk, encrypt=True) if self.kind == "encrypted" else chunk
                os.pwrite(self.file, kept, int(self.chunks.uncompressed_offset[row]))
            user[: len(chunk)] = chunk

    def warm(self, row: int, offset: int, user: memoryview) -> None:
        """A part of a chunk that is kept, decoded and verified where it has to be."""
        place, size = int(self.chunks.uncompressed_offset[row]), int(self.chunks.uncompressed_size[row])
        if self.kind == "plain":
            os.preadv(self.file, [user], place + offset)
            return
        if self.kind == "raw":
            chunk = self._chunk(row, self._decoded(row, self._stored(self.file, row)))
        else:
            pages = buffer("cached", -(-size // PAGE_SIZE) * PAGE_SIZE)
            os.preadv(self.file, [pages], place)
            whole = self._pages(pages, encrypt=False) if self.kind == "encrypted" else pages
            chunk = self._verified(row, memoryview(whole)[:size])
        user[:] = chunk[offset : offset + len(user)]

    def _stored(self, file: int, row: int) -> memoryview:
        stored = buffer("fetched", int(self.chunks.compressed_size[row]))
        os.preadv(file, [stored], int(self.chunks.compressed_offset[row]))
        return stored

    def _decoded(self, row: int, stored: memoryview) -> memoryview:
        info, size = self.info, int(self.chunks.unit_size[row])
        if self.chunks.encrypted[row]:
            stored = memoryview(decrypt(info.cipher, info.cipher_key, info.cipher_iv, stored))
        if not self.chunks.compressed[row]:
            return stored
        plain = buffer("decoded", size)
        if self.chunks.kind[row] == ZRAN:
            inflate_piece(self.chunks.inflate[int(self.chunks.unit[row])], stored, plain)
        else:
            decompress_into(info.compressor, stored, plain)
        return plain

    def _chunk(self, row: int, plain: memoryview) -> memoryview:
        first, size = int(self.chunks.unit_offset[row]), int(self.chunks.uncompressed_size[row])
        return self._verified(row, plain[first : first + size])

    def _verified(self, row: int, chunk: memoryview) -> memoryview:
        assert digest(self.info.digester, chunk) == self.chunks.digest[row].tobytes()
        return chunk

    def _pages(self, plain: memoryview, encrypt: bool) -> bytes:
        """As the library has it: XTS of each page."""
        cipher = Cipher(algorithms.AES(KEY), modes.XTS(bytes(16)))
        begin = cipher.encryptor if encrypt else cipher.decryptor
        return b"".join(begin().update(plain[at : at + PAGE_SIZE]) for at in range(0, len(plain), PAGE_SIZE))
