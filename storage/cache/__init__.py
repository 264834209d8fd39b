"""The cache between device and backend, in nydusd's file formats.

How durable what is. A chunk is written to the cache file, and then its bit to the chunk map, both before the
read or prefetch that fetched it is over; an evicted chunk's bit is cleared before its bytes go. All of it is
in the kernel's hands at once, so it outlives the process, however that ends: a marked chunk is there and
right, and is not fetched again; one that was written and not marked yet is. Nothing is synced, so after a power
cut, or a crash of the kernel, the folder is to be removed, unless the cache validates what it reads
(`CacheKind.validate`). A ``blob.meta`` is written under another name and renamed. The index of chunks is
a hint: what is not in it is fetched, and what is wrong in it is found out by digest.
"""

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
