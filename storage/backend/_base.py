"""What a backend is: a place that has blobs, each read by ranges."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["BlobBackend", "BlobReader", "Transfer"]


class Transfer(NamedTuple):
    """How a range was read.

    Attributes
    ----------
    received
        Bytes put into the buffer.
    ttfb_ns
        Nanoseconds until the first of them.
    """

    received: int
    ttfb_ns: int


class BlobReader(Protocol):
    """One blob in a backend. Any number of threads may read at once."""

    @property
    def blob_id(self) -> str:
        """The blob's name."""

    def blob_size(self) -> int:
        """Bytes of the blob in the backend."""

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        """Fill `buffer` from `offset` on, whole.

        Raises
        ------
        BackendError
            If that many bytes cannot be had; names the blob and the offset.
        """


class BlobBackend(Protocol):
    """A store of blobs by id.

    One that keeps connections has a method ``close`` as well, which whoever opened it calls in the end.
    """

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob.

        Raises
        ------
        MissingBlobError
            If the backend does not have it; at the latest when it is read, or its size is asked for.
        """
