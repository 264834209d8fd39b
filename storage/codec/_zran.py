"""Random access into gzip: pieces of a stream, each inflated from a saved context.

A context is a place between two deflate blocks: an offset in the stream, the bits of the byte
before it that are still to be used, and the 32 KiB that were inflated last.

Source: nydus ``utils/src/compress/zlib_random.rs``; zlib ``examples/zran.c``.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from storage.codec._libz import BLOCK, BUFFER_ERROR, GZIP, OK, RAW, STREAM_END, WINDOW, Inflate
from storage.errors import FormatError

__all__ = ["InflateContext", "inflate_piece"]

_TRAILER = 8
_HEADER_DONE = 0x80


@dataclass(frozen=True, slots=True)
class InflateContext:
    """Where inflating may begin.

    Attributes
    ----------
    bits, byte
        How many upper bits of the byte before the piece belong to it, and that byte.
    window
        What was inflated before it, up to 32 KiB.
    """

    bits: int
    byte: int
    window: bytes | memoryview


def inflate_piece(context: InflateContext, stored: memoryview, plain: memoryview) -> None:
    """Fill `plain` from a piece of a gzip stream, across the ends of members if need be.

    The interpreter's lock is not held meanwhile; any number of threads may do so at once.

    Raises
    ------
    FormatError
        If the piece is corrupt, or ends before `plain` is full.
    """
    if context.bits > 7 or len(context.window) > WINDOW:
        raise FormatError(f"an inflate context has {context.bits} bits and a window of {len(context.window)}")
    source = np.frombuffer(stored, np.uint8)  # which has an address, be it of bytes or of a buffer
    target = (ctypes.c_char * len(plain)).from_buffer(plain) if len(plain) else None
    inflate = Inflate(RAW)
    stream = inflate.stream
    if context.bits:
        inflate.prime(context.bits, context.byte)
    inflate.set_dictionary(bytes(context.window))
    stream.next_in = source.ctypes.data
    stream.avail_in = len(source)
    stream.next_out = ctypes.addressof(target) if target is not None else None
    stream.avail_out = len(plain)
    while stream.avail_out:
        code = inflate.run(0)
        if code == STREAM_END:
            _next_member(inflate, stream.avail_out)
        elif code != OK or (stream.avail_out and not stream.avail_in):
            message = stream.msg.decode("ascii", "replace") if stream.msg else "it ends early"
            raise FormatError(f"corrupt gzip data: {message}")


def _next_member(inflate: Inflate, left: int) -> None:
    """Step over the end of a member and the header of the next one, if anything is still wanted."""
    stream = inflate.stream
    if not left:
        return
    if stream.avail_in <= _TRAILER:
        raise FormatError("corrupt gzip data: it ends early")
    stream.next_in += _TRAILER
    stream.avail_in -= _TRAILER
    inflate.reset(GZIP)
    target, stream.avail_out = stream.next_out, 0
    while True:
        code = inflate.run(BLOCK)
        if code not in (OK, BUFFER_ERROR) or not stream.avail_in:
            raise FormatError("corrupt gzip data: no member follows another")
        if stream.data_type & _HEADER_DONE:
            break
        if code == BUFFER_ERROR:
            raise FormatError("corrupt gzip data: a header without an end")
    inflate.reset(RAW)
    stream.next_out, stream.avail_out = target, left
