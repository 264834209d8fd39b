"""Where blobs come from: one file a backend, and wrappers that go around any of them."""

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._localfs import LocalFs
from storage.backend._shape import LINKS, Link
from storage.backend._shaped import ShapedBackend
from storage.backend._wrapped import WrappedReader

__all__ = ["LINKS", "BlobBackend", "BlobReader", "Link", "LocalFs", "ShapedBackend", "Transfer", "WrappedReader"]
