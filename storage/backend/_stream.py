"""Reading a blob whole, piece by piece."""

from __future__ import annotations

from collections.abc import Callable

from storage.backend._base import BlobReader
from storage.backend.http import HttpReader

__all__ = ["copy_blob"]

_PIECE = 1 << 20


def copy_blob(reader: BlobReader, write: Callable[[memoryview], object], offset: int = 0) -> int:
    """Write a blob from `offset` to its end; how many bytes that was.

    Over HTTP it is one request, taken up again where it breaks; else it is read a MiB at a time.

    Parameters
    ----------
    write
        Is given one piece after the other, each valid until it returns.

    Raises
    ------
    BackendError
        If the blob cannot be had whole.
    """
    if isinstance(reader, HttpReader):
        return reader.copy_to(write, offset)
    size, buffer = reader.blob_size(), memoryview(bytearray(_PIECE))
    for start in range(offset, size, _PIECE):
        piece = buffer[: min(_PIECE, size - start)]
        reader.read_into(piece, start)
        write(piece)
    return max(size - offset, 0)
