"""What object stores have in common: blobs are objects whose keys are blob ids behind a prefix."""

from __future__ import annotations

from storage.backend._base import BlobReader
from storage.backend._ids import check_blob_id
from storage.backend.http import HttpClient, HttpReader, Request
from storage.backend.signing import object_path

__all__ = ["Bucket"]


class Bucket:
    """Objects below a URL.

    Parameters
    ----------
    base
        URL of the bucket, with the slash behind it.
    prefix
        Put before each id as it is.
    client
        What is asked; it is closed with the bucket.
    """

    def __init__(self, base: str, prefix: str, client: HttpClient) -> None:
        self.client = client
        self._base = base
        self._prefix = prefix

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the object that is the blob."""
        check_blob_id(blob_id)
        url = self._base + object_path(self._prefix + blob_id)
        return HttpReader(self.client, blob_id, lambda method: Request(method, url))

    def close(self) -> None:
        """Close idle connections."""
        self.client.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base + object_path(self._prefix)!r})"
