"""Several backends as one: some blobs are kept elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.errors import MissingBlobError

__all__ = ["RoutedBackend"]


class RoutedBackend:
    """Reads through `inner`, but for blobs that others have.

    Parameters
    ----------
    inner
        Where blobs come from.
    routes
        Where others come from, by id: backends of which the first that has the blob is read.

    Examples
    --------
    >>> RoutedBackend(Registry(options), {blob_id: [S3("models", region="eu-west-3")]})
    """

    def __init__(self, inner: BlobBackend, routes: Mapping[str, Sequence[BlobBackend]]) -> None:
        self.inner = inner
        self.routes = dict(routes)

    @property
    def backends(self) -> list[BlobBackend]:
        """All of them, `inner` first, each once."""
        every = [self.inner, *(backend for route in self.routes.values() for backend in route)]
        return list({id(backend): backend for backend in every}.values())

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob, in the backend that has it."""
        route = self.routes.get(blob_id) or [self.inner]
        return route[0].get_reader(blob_id) if len(route) == 1 else _FirstReader(blob_id, route)

    def close(self) -> None:
        """Close all of them."""
        for backend in self.backends:
            if (close := getattr(backend, "close", None)) is not None:
                close()

    def __repr__(self) -> str:
        return f"RoutedBackend({self.backends!r})"


class _FirstReader:
    """Reads from the first backend that has the blob, which is found out when it is first needed."""

    def __init__(self, blob_id: str, backends: Sequence[BlobBackend]) -> None:
        self.blob_id = blob_id
        self._backends = backends
        self._found: BlobReader | None = None
        self._lock = threading.Lock()

    def blob_size(self) -> int:
        return self._reader().blob_size()

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        return self._reader().read_into(buffer, offset)

    def _reader(self) -> BlobReader:
        with self._lock:
            if self._found is None:
                self._found = self._first()
            return self._found

    def _first(self) -> BlobReader:
        for backend in self._backends:
            try:
                reader = backend.get_reader(self.blob_id)
                reader.blob_size()
            except MissingBlobError:
                continue
            return reader
        raise MissingBlobError(f"none of {len(self._backends)} backends has it", blob=self.blob_id)
