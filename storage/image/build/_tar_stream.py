"""A tar, read once from front to back: nothing is sought, so that a pipe will do."""

from __future__ import annotations

from typing import IO, Protocol

from storage.errors import FormatError

__all__ = ["Source", "TarStream"]


class Source(Protocol):
    """Where a tar comes from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, none at the end."""


class TarStream:
    """A tar that is read once, from front to back.

    Attributes
    ----------
    offset
        How far it was read.
    path
        For messages.
    """

    def __init__(self, source: Source | IO[bytes], path: str) -> None:
        self._source = source
        self.path = path
        self.offset = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        data = self._source.read(size)
        self.offset += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """`size` bytes.

        Raises
        ------
        FormatError
            If the tar ends before them.
        """
        parts, left = [], size
        while left:
            data = self.read(left)
            if not data:
                raise FormatError("the tar is cut short", path=self.path, offset=self.offset)
            parts.append(data)
            left -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip_to(self, offset: int) -> None:
        """Read on to `offset` and keep nothing."""
        while self.offset < offset:
            self.exactly(min(offset - self.offset, 1 << 20))
