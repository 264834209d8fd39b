"""The cache between device and backend, in nydusd's file formats."""

from storage.cache._chunk_map import read_chunk_map
from storage.cache._filecache import FileCache

__all__ = ["FileCache", "read_chunk_map"]
