"""Binary traces of records of equal length, read in batches, out of zstd if need be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import zstandard

from storage.errors import TraceError

__all__ = ["open_trace", "records"]

_BATCH = 1 << 18


def open_trace(path: Path) -> BinaryIO:
    """The trace's bytes; a name that ends in .zst is unpacked on the way.

    Raises
    ------
    TraceError
        If it cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise TraceError(f"cannot open: {error.strerror}", path=path) from error
    if path.suffix != ".zst":
        return file
    return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True))


def records(path: Path, kind: np.dtype[Any]) -> Iterator[Any]:
    """Batches of records.

    Raises
    ------
    TraceError
        If the file cannot be read, or ends in the middle of a record.
    """
    offset = 0
    with open_trace(path) as file:
        try:
            while data := _read(file, _BATCH * kind.itemsize):
                if len(data) % kind.itemsize:
                    message = f"ends in the middle of a record of {kind.itemsize} bytes"
                    raise TraceError(message, path=path, offset=offset)
                yield np.frombuffer(data, kind)
                offset += len(data)
        except (OSError, zstandard.ZstdError) as error:
            raise TraceError(f"cannot read: {error}", path=path, offset=offset) from error


def _read(file: BinaryIO, size: int) -> bytes:
    """Up to `size` bytes, fewer only at the end."""
    parts, left = [], size
    while left > 0 and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
