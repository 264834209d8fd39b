"""A reader that goes through another: what wrapper backends hand out."""

from __future__ import annotations

from collections.abc import Callable

from storage.backend._base import BlobReader, Transfer

__all__ = ["WrappedReader"]


class WrappedReader:
    """Everything is `inner`'s but the reading, which is done by `read`.

    Parameters
    ----------
    inner
        The reader that is wrapped.
    read
        Called with `inner`, the buffer and the offset.
    """

    def __init__(self, inner: BlobReader, read: Callable[[BlobReader, memoryview, int], Transfer]) -> None:
        self._inner = inner
        self._read = read

    @property
    def blob_id(self) -> str:
        """The blob's name."""
        return self._inner.blob_id

    def blob_size(self) -> int:
        """Bytes of the blob."""
        return self._inner.blob_size()

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        """Fill `buffer` from `offset` on."""
        return self._read(self._inner, buffer, offset)
