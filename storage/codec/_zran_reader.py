"""Reading a gzip stream once, and choosing the contexts from which its pieces can be read again.

The choices are the reference's, since its bytes are to come out.

Source: nydus ``utils/src/compress/zlib_random.rs`` (`ZranReader`, `ZranGenerator`).
"""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass
from typing import IO

from storage.codec._libz import BLOCK, BUFFER_ERROR, GZIP, OK, STREAM_END, Inflate
from storage.codec._zran import InflateContext
from storage.errors import FormatError

__all__ = ["Piece", "Pieces", "Place", "ZranReader"]

_BUFFER = 64 << 10
_MIN_STORED, _MAX_STORED, _MAX_PLAIN = 512 << 10, 1 << 20, 2 << 20
_AT_BOUNDARY, _WAS_LAST = 0x80, 0x40


@dataclass(slots=True)
class Place:
    """A place between two deflate blocks: offsets in the stored and the plain stream, and its context."""

    stored: int
    plain: int
    context: InflateContext


class ZranReader:
    """A gzip file that is read from front to back.

    Attributes
    ----------
    size
        Bytes of the file that were read.
    block
        Where the present deflate block begins.
    """

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self._checksum = hashlib.sha256()
        self._inflate = Inflate(GZIP)
        self._source = b""
        self._start = ctypes.c_char_p(b"")
        self._last = 0  # the byte before the buffer
        self._in, self._out = 0, 0
        self._switched = False
        self._padding = self._ended = False
        self.size = 0
        self.block = Place(0, 0, InflateContext(0, 0, b""))

    @property
    def offset(self) -> tuple[int, int]:
        """How far the stored and the plain stream were read."""
        return self._in, self._out

    def took_member(self) -> bool:
        """Whether a member ended since it was last asked."""
        switched, self._switched = self._switched, False
        return switched

    def hexdigest(self) -> str:
        """The SHA-256 of the file as far as it was read, in hex."""
        return self._checksum.hexdigest()

    def read(self, size: int) -> bytes:
        """Up to `size` plain bytes, none at the end.

        Raises
        ------
        FormatError
            If the stream is corrupt or cut short.
        """
        target = ctypes.create_string_buffer(size)
        stream = self._inflate.stream
        stream.next_out, stream.avail_out = ctypes.addressof(target), size
        while size:
            if not stream.avail_in and not self._refill():
                return b""
            if self._padding:
                stream.avail_in = 0
                continue
            code = self._run()
            if code == STREAM_END:
                self._end_member()
            elif code == OK:
                # Behind a member's last block there is no block to begin with, though the reference does.
                if stream.data_type & (_AT_BOUNDARY | _WAS_LAST) == _AT_BOUNDARY:
                    self._note_block()
                if stream.avail_out < size:
                    return target.raw[: size - stream.avail_out]
            elif code != BUFFER_ERROR or stream.avail_in:
                message = stream.msg.decode("ascii", "replace") if stream.msg else f"zlib says {code}"
                raise self._broken(f"corrupt gzip data: {message}")
        return b""

    def _refill(self) -> bool:
        stream = self._inflate.stream
        if self._source:
            self._last = self._source[-1]
        self._source = self._file.read(_BUFFER)
        if not self._source:
            if self._in and not self._ended:
                raise self._broken("the gzip stream is cut short")
            return False
        self._checksum.update(self._source)
        self.size += len(self._source)
        self._start = ctypes.c_char_p(self._source)
        stream.next_in = ctypes.cast(self._start, ctypes.c_void_p)
        stream.avail_in = len(self._source)
        return True

    def _run(self) -> int:
        stream = self._inflate.stream
        self._ended = False
        before = stream.avail_in, stream.avail_out
        code = self._inflate.run(BLOCK)
        self._in += before[0] - stream.avail_in
        self._out += before[1] - stream.avail_out
        return code

    def _end_member(self) -> None:
        stream = self._inflate.stream
        self._inflate.reset(GZIP)
        self._switched = self._ended = True
        rest = self._source[len(self._source) - stream.avail_in :]
        self._padding = rest[:1] == b"\0"  # as tapes have it

    def _note_block(self) -> None:
        stream = self._inflate.stream
        bits = stream.data_type & 0x7
        at = len(self._source) - stream.avail_in
        byte = (self._source[at - 1] if at else self._last) if bits else 0
        self._switched = False
        self.block = Place(self._in, self._out, InflateContext(bits, byte, self._inflate.dictionary()))

    def _broken(self, what: str) -> FormatError:
        return FormatError(what, path=self._path, offset=self._in)


@dataclass(slots=True)
class Piece:
    """A piece of the stream, from a place on: sizes grow with what is read of it."""

    place: Place
    stored_size: int = 0
    plain_size: int = 0


class Pieces:
    """The pieces of a stream, chosen while chunks of its files are read.

    Attributes
    ----------
    pieces
        In order. They overlap where a chunk begins in the block in which another ends.
    """

    def __init__(self, reader: ZranReader) -> None:
        self._reader = reader
        self._begun = -1
        self.pieces: list[Piece] = []

    def begin(self, chunk_size: int) -> tuple[int, int]:
        """Before a chunk is read: which piece it is in, and where in that one's plain bytes."""
        stored, plain = self._reader.offset
        switched = self._reader.took_member()
        if not self.pieces or self._is_full(stored, plain, switched, chunk_size):
            self.pieces.append(Piece(self._reader.block))
            self._begun = self._reader.block.stored
        return len(self.pieces) - 1, plain - self.pieces[-1].place.plain

    def _is_full(self, stored: int, plain: int, switched: bool, chunk_size: int) -> bool:
        piece = self.pieces[-1]
        if switched:
            return True
        if self._reader.block.stored == self._begun:
            return False  # no other block has begun, in which another piece could
        size = stored - piece.place.stored
        enough = size >= _MAX_STORED // 2 or plain - piece.place.plain + chunk_size >= _MAX_PLAIN
        far = size > 2 * piece.stored_size and piece.stored_size > _MIN_STORED
        return enough or far

    def end(self) -> None:
        """After the chunk was read."""
        stored, plain = self._reader.offset
        piece = self.pieces[-1]
        piece.stored_size, piece.plain_size = stored - piece.place.stored, plain - piece.place.plain
