"""An example of a package with a backend of its own: blobs in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from storage.backend import BlobReader, Transfer
from storage.errors import BackendError, MissingBlobError


class Memory:
    """Blobs of a mapping."""

    def __init__(self, blobs: Mapping[str, bytes]) -> None:
        self._blobs = blobs

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob."""
        if blob_id not in self._blobs:
            raise MissingBlobError("the blob is not in memory", blob=blob_id)
        return _Reader(blob_id, self._blobs[blob_id])


class _Reader:
    def __init__(self, blob_id: str, content: bytes) -> None:
        self.blob_id = blob_id
        self._content = content

    def blob_size(self) -> int:
        """Bytes of the blob."""
        return len(self._content)

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        """Fill the buffer from `offset` on."""
        start = time.monotonic_ns()
        if offset + len(buffer) > len(self._content):
            raise BackendError("the blob ends early", blob=self.blob_id, offset=len(self._content))
        buffer[:] = self._content[offset : offset + len(buffer)]
        return Transfer(len(buffer), time.monotonic_ns() - start)


def open_memory(settings: Mapping[str, Any]) -> Memory:
    """Blobs given in hex: ``backend.memory.blobs``."""
    return Memory({blob_id: bytes.fromhex(content) for blob_id, content in settings["blobs"].items()})
