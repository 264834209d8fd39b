"""zlib by ctypes: what Python's own binding leaves out, priming with bits and stopping at blocks.

Source: ``zlib.h`` (1.2.11 and newer).
"""

from __future__ import annotations

import ctypes
from functools import cache

from storage.errors import UnsupportedError

__all__ = ["BLOCK", "BUFFER_ERROR", "OK", "RAW", "STREAM_END", "WINDOW", "Inflate", "GZIP"]

OK, STREAM_END, BUFFER_ERROR = 0, 1, -5
BLOCK = 5  # flush mode: stop at the next block boundary
WINDOW = 32 << 10
RAW, GZIP = -15, 31


class _Stream(ctypes.Structure):
    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


@cache
def _library() -> ctypes.CDLL:
    from ctypes.util import find_library  # brings a lot with it

    try:
        library = ctypes.CDLL(find_library("z") or "libz.so.1")
        library.inflatePrime, library.inflateGetDictionary  # noqa: B018
    except (OSError, AttributeError) as error:
        raise UnsupportedError(f"gzip layers by inflate contexts need the system's zlib: {error}") from error
    return library


class Inflate:
    """One inflate state. Input and output are memory that the caller keeps alive.

    Parameters
    ----------
    window_bits
        ``RAW`` or ``GZIP``.
    """

    def __init__(self, window_bits: int) -> None:
        self._library = _library()
        self.stream = _Stream()
        self._at = ctypes.byref(self.stream)
        version = ctypes.c_char_p(b"1")  # zlib compares the first character only
        size = ctypes.c_int(ctypes.sizeof(_Stream))
        self._begun = self._library.inflateInit2_(self._at, ctypes.c_int(window_bits), version, size) == OK
        if not self._begun:
            raise MemoryError("zlib cannot begin")

    def run(self, flush: int) -> int:
        """Inflate; returns zlib's code. The interpreter's lock is not held meanwhile."""
        return int(self._library.inflate(self._at, flush))

    def reset(self, window_bits: int) -> None:
        """Begin anew, keeping what is left of the input."""
        self._library.inflateReset2(self._at, window_bits)

    def prime(self, bits: int, byte: int) -> None:
        """Put the upper `bits` of a byte before the input."""
        self._library.inflatePrime(self._at, bits, byte >> (8 - bits))

    def set_dictionary(self, window: bytes) -> None:
        """Say what was inflated before."""
        self._library.inflateSetDictionary(self._at, window, len(window))

    def dictionary(self) -> bytes:
        """What was inflated last, up to 32 KiB."""
        window, size = ctypes.create_string_buffer(WINDOW), ctypes.c_uint(0)
        self._library.inflateGetDictionary(self._at, window, ctypes.byref(size))
        return window.raw[: size.value]

    def __del__(self) -> None:
        if getattr(self, "_begun", False):
            self._library.inflateEnd(self._at)
