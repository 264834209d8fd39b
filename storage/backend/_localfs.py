"""Backend `localfs`: each blob is a file of its name in a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from storage.backend._base import Transfer
from storage.errors import BackendError, MissingBlobError

__all__ = ["LocalFs"]


class LocalFs:
    """Blobs in `folder`.

    Examples
    --------
    >>> LocalFs("image/blobs").get_reader(blob_id).blob_size()
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get_reader(self, blob_id: str) -> _Reader:
        """A reader of the file `blob_id`."""
        if not blob_id or not blob_id.isprintable() or "/" in blob_id or blob_id in (".", ".."):
            raise BackendError("a blob id is not a file name", blob=blob_id)
        path = self.folder / blob_id
        try:
            return _Reader(blob_id, path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise MissingBlobError("the blob is missing: put it there or name its folder", path=path) from error
        except OSError as error:
            raise BackendError(f"the blob cannot be opened: {error.strerror}", path=path) from error

    def __repr__(self) -> str:
        return f"LocalFs({str(self.folder)!r})"


class _Reader:
    def __init__(self, blob_id: str, path: Path, fd: int) -> None:
        self.blob_id = blob_id
        self._path = path
        self._fd = fd

    def blob_size(self) -> int:
        return os.fstat(self._fd).st_size

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        start = time.monotonic_ns()
        received = 0
        try:
            while received < len(buffer):
                count = os.preadv(self._fd, [buffer[received:]], offset + received)
                if count == 0:
                    raise BackendError("the blob ends early", path=self._path, offset=offset + received)
                received += count
        except OSError as error:
            raise BackendError(f"the blob cannot be read: {error.strerror}", path=self._path, offset=offset) from error
        return Transfer(received, time.monotonic_ns() - start)

    def __del__(self) -> None:
        os.close(self._fd)
