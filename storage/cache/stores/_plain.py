"""Chunks as they are, at their place in the uncompressed blob: ``<blob>.blob.data``."""

from __future__ import annotations

from pathlib import Path

from storage.cache.maps import ChunkMap
from storage.cache.stores._base import BlobFile, Source
from storage.codec import buffer, recall, remember
from storage.image.blob_info import BlobFeatures

__all__ = ["PlainFile"]


class PlainFile(BlobFile):
    """See `BlobFile`."""

    def __init__(self, path: Path, size: int, source: Source, chunk_map: ChunkMap) -> None:
        super().__init__(path, size, source, chunk_map)
        self._alone = source.info.has_feature(BlobFeatures.ALIGNED)

    def put(self, row: int, plain: memoryview, stored: memoryview | None) -> None:
        self.write(plain, self._source.layout.offset[row])

    def chunk(self, row: int) -> memoryview:
        plain: memoryview | None = recall(key := (self._name, row))
        if plain is None:
            source = self._source
            plain = buffer("cached", source.layout.size[row])
            self.read([plain], source.layout.offset[row])
            source.decoder.verify(source.info, row, plain)
            remember(key, plain)
        return plain
