"""Files of a cache folder: what the system refuses is a `CacheError` that names the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from storage.errors import CacheError

__all__ = ["open_file", "write_all"]


def open_file(path: Path) -> int:
    """Open a file for reading and writing; it is made if it is not there.

    Raises
    ------
    CacheError
        If it cannot be.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CacheError(f"cannot be opened: {error.strerror}", path=path) from error


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
        remedy = ": free some space or set a capacity" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise CacheError(f"cannot be written: {error.strerror}{remedy}", path=path, offset=offset) from error
