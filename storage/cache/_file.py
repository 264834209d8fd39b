"""Files of a cache folder: what the system refuses is a `CacheError` that names the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from storage.errors import CacheError, CacheUnavailableError

__all__ = ["Descriptor", "open_file", "refused", "write_all"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


def refused(what: str, error: OSError, path: Path, offset: int | None = None) -> CacheError:
    """What the system refused, as an error of ours."""
    if error.errno in _FULL:
        message = f"{what}: {error.strerror}: free some space or set a capacity"
        return CacheUnavailableError(message, path=path, offset=offset)
    return CacheError(f"{what}: {error.strerror}", path=path, offset=offset)


class Descriptor(int):
    """The number of an open file, which is closed once nobody holds it.

    So whoever is about to read from it, on whatever thread, never reads from another file that got the same number.
    """

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self)


def open_file(path: Path, writable: bool = True) -> int:
    """Open a file to write, made if it is not there; or only to read, and then it is -1 if it is not there.

    Raises
    ------
    CacheError
        If it cannot be.
    """
    how = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
    try:
        return Descriptor(os.open(path, how | os.O_CLOEXEC, 0o644))
    except OSError as error:
        if not writable and error.errno == errno.ENOENT:
            return -1
        raise refused("cannot be opened", error, path) from error


def write_all(fd: int, path: Path, data: memoryview, offset: int) -> None:
    """Write `data` at `offset`, whole.

    Raises
    ------
    CacheError
        If it cannot be, the disk being full, say.
    """
    written = 0
    try:
        while written < len(data):
            written += os.pwrite(fd, data[written:], offset + written)
    except OSError as error:
        raise refused("cannot be written", error, path, offset) from error
