"""The cache between device and backend, in nydusd's file formats."""

from storage.cache._dummycache import DummyCache
from storage.cache._filecache import FileCache
from storage.cache._gc import Unused, collect_garbage
from storage.cache._index import ChunkIndex, Held
from storage.cache._kind import CacheKind
from storage.cache.maps import read_chunk_map

__all__ = [
    "CacheKind",
    "ChunkIndex",
    "DummyCache",
    "FileCache",
    "Held",
    "Unused",
    "collect_garbage",
    "read_chunk_map",
]
