"""Reading blobs out of files and devices."""

from __future__ import annotations

import os
import time
from pathlib import Path

from storage.backend._base import Transfer
from storage.errors import BackendError

__all__ = ["FileReader", "open_file", "pread_into"]


def open_file(path: Path) -> int:
    """A descriptor to read from; a pipe is not waited for."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def pread_into(
    fd: int, path: Path, buffer: memoryview, offset: int, *, blob: str | None = None, base: int = 0
) -> Transfer:
    """Fill the buffer from `offset` on of what begins at `base`: of the whole file, or of a blob in it.

    Raises
    ------
    BackendError
        If the file ends before, or cannot be read.
    """
    start = time.monotonic_ns()
    received = 0
    try:
        while received < len(buffer):
            count = os.preadv(fd, [buffer[received:]], base + offset + received)
            if count == 0:
                raise BackendError("the blob ends early", path=path, blob=blob, offset=offset + received)
            received += count
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "no file is that long"
        raise BackendError(f"the blob cannot be read: {reason}", path=path, blob=blob, offset=offset) from error
    return Transfer(received, time.monotonic_ns() - start)


class FileReader:
    """A whole file as a blob; owns its descriptor."""

    def __init__(self, blob_id: str, path: Path, fd: int) -> None:
        self.blob_id = blob_id
        self._path = path
        self._fd = fd

    def blob_size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        """Fill the buffer from `offset` on."""
        return pread_into(self._fd, self._path, buffer, offset, blob=self.blob_id)

    def __del__(self) -> None:
        os.close(self._fd)
