"""Chunks encrypted page by page, at their place in the uncompressed blob: ``<blob>.blob.data``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.cache.maps import ChunkMap
from storage.cache.stores._base import BlobFile, Source
from storage.codec import PAGE_SIZE, PageCipher, buffer, recall, remember
from storage.errors import UnsupportedError

__all__ = ["EncryptedFile"]


class EncryptedFile(BlobFile):
    """See `BlobFile`. What a wrong key makes of a chunk is found out by its digest.

    Raises
    ------
    UnsupportedError
        If chunks share pages, so that one could not be written without spoiling another.
    """

    is_plain = False

    def __init__(self, path: Path, size: int, source: Source, chunk_map: ChunkMap, cipher: PageCipher) -> None:
        if (np.asarray(source.layout.offset[source.rows.start : source.rows.stop]) % PAGE_SIZE).any():
            chunk_map.close()
            message = "chunks that do not begin at a page cannot be encrypted in the cache"
            raise UnsupportedError(message, blob=source.info.blob_id, field="cache.filecache.enable_encryption")
        super().__init__(path, size, source, chunk_map)
        self._cipher = cipher
        self._alone = True

    def put(self, row: int, plain: memoryview, stored: memoryview | None) -> None:
        self.write(self._cipher.encrypt(plain, self._digest(row)), self._source.layout.offset[row])

    def chunk(self, row: int) -> memoryview:
        plain: memoryview | None = recall(key := (self._name, row))
        if plain is None:
            source = self._source
            size = source.layout.size[row]
            pages = buffer("cached", -(-size // PAGE_SIZE) * PAGE_SIZE)
            self.read([pages], source.layout.offset[row])
            self._cipher.decrypt(pages, self._digest(row))
            plain = pages[:size]
            source.decoder.verify(source.info, row, plain)
            remember(key, plain)
        return plain

    def _digest(self, row: int) -> bytes:
        return self._source.decoder.chunks.digest[row].tobytes()
