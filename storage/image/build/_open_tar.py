"""Opening a tar, whatever it is compressed with."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import zstandard

from storage.errors import FormatError
from storage.image.build._tar_stream import Source, TarStream

__all__ = ["open_tar", "plain_stream"]

_PIECE = 1 << 16
_MAX_WINDOW = 128 << 20
# What grows more than this, and past this, is a bomb.
_MAX_RATIO, _MAX_FREE = 300, 1 << 30


@contextmanager
def open_tar(path: str | Path) -> Iterator[TarStream]:
    """A tar, plain or compressed by gzip (of any number of members) or zstd, as one stream.

    Raises
    ------
    FormatError
        If it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            yield TarStream(plain_stream(file, str(path)), str(path))
    except OSError as error:
        raise FormatError(f"the tar cannot be read: {error.strerror}", path=path) from error


def plain_stream(file: Peekable, path: str) -> Source:
    """What a buffered stream holds, decompressed; told by its first bytes, so that a pipe will do."""
    start = file.peek(4)[:4]
    if start[:2] == b"\x1f\x8b":
        return _Gzip(file, path)
    if start == b"\x28\xb5\x2f\xfd" or (start[1:] == b"\x2a\x4d\x18" and start[0] >> 4 == 5):
        return _Zstd(file, path)
    return file


class Peekable(Source, Protocol):
    """A source that shows what comes next."""

    def peek(self, size: int, /) -> bytes:
        """Bytes that `read` will give, at least one unless it is at the end."""


class _Counted:
    """A stream that knows how much was read of it."""

    def __init__(self, file: Source) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


class _Compressed:
    """A decompressed stream that refuses to grow without end."""

    def __init__(self, file: Source, path: str) -> None:
        self._file = _Counted(file)
        self._path = path
        self._given = 0

    def _give(self, data: bytes) -> bytes:
        self._given += len(data)
        if self._given > max(_MAX_FREE, self._file.count * _MAX_RATIO):
            raise FormatError("expands as no tar does: a bomb", path=self._path, offset=self._file.count)
        return data

    def _broken(self, what: str) -> FormatError:
        return FormatError(what, path=self._path, offset=self._file.count)


class _Gzip(_Compressed):
    def __init__(self, file: Source, path: str) -> None:
        super().__init__(file, path)
        self._decoder = zlib.decompressobj(wbits=31)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Up to `size` plain bytes, none at the end."""
        while size:
            self._rest = self._rest or self._file.read(_PIECE)
            if not self._rest and not self._decoder.eof:
                raise self._broken("the gzip stream is cut short")
            if self._decoder.eof:
                if not self._rest.strip(b"\0"):  # padding, as tapes have it
                    if not self._rest:
                        return b""
                    self._rest = b""
                    continue
                self._decoder = zlib.decompressobj(wbits=31)
            data = self._decode(size)
            if data:
                return self._give(data)
        return b""

    def _decode(self, size: int) -> bytes:
        try:
            data = self._decoder.decompress(self._rest, size)
        except zlib.error as error:
            raise self._broken(f"corrupt gzip data: {error}") from error
        self._rest = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        return data


class _Zstd(_Compressed):
    def __init__(self, file: Source, path: str) -> None:
        super().__init__(file, path)
        decoder = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._reader = decoder.stream_reader(self._file, read_size=_PIECE, read_across_frames=True)  # type: ignore[arg-type]
        self._last = b"nothing yet"

    def read(self, size: int) -> bytes:
        """Up to `size` plain bytes, none at the end."""
        try:
            data = self._reader.read(size)
        except zstandard.ZstdError as error:
            raise self._broken(f"corrupt zstd data: {error}") from error
        # The decoder does not tell a frame's end from a cut, but tars end in zeros.
        if not data and size and self._last.strip(b"\0"):
            raise self._broken("the zstd stream is cut short")
        self._last = data[-512:] or self._last
        return self._give(data)
