"""Where blobs come from: one file a backend, and wrappers that go around any of them."""

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._localfs import LocalFs
from storage.backend._shaped import Link, ShapedBackend
from storage.backend._source import RequestSource, prefetching, request_source
from storage.backend._wrapped import WrappedReader

__all__ = [
    "BlobBackend",
    "BlobReader",
    "Link",
    "LocalFs",
    "RequestSource",
    "ShapedBackend",
    "Transfer",
    "WrappedReader",
    "prefetching",
    "request_source",
]
