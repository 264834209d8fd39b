"""Chunk maps: which chunks of a blob are in its cache file."""

from storage.cache.maps._base import ChunkMap
from storage.cache.maps._digested import DigestedChunkMap
from storage.cache.maps._indexed import IndexedChunkMap, read_chunk_map
from storage.cache.maps._none import NoopChunkMap
from storage.cache.maps._range import RangeMap

__all__ = ["ChunkMap", "DigestedChunkMap", "IndexedChunkMap", "NoopChunkMap", "RangeMap", "read_chunk_map"]
