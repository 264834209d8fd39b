"""Extended attributes of a v5 inode: a size, then pairs of ``name NUL value``, each behind its length."""

from __future__ import annotations

from storage.errors import FormatError

__all__ = ["read_xattrs"]

_NUL = b"\0"


def read_xattrs(data: memoryview, start: int, size: int) -> dict[str, bytes]:
    """The pairs that lie at `start`, `size` bytes in all.

    Raises
    ------
    FormatError
        If a pair does not fit, or has no name.
    """
    found: dict[str, bytes] = {}
    at, end = start, start + size
    while at < end:
        stop = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > end or stop > end:
            raise FormatError("an extended attribute lies past the end of its table", offset=at)
        name, nul, value = bytes(data[at + 4 : stop]).partition(_NUL)
        if not nul or not name:
            raise FormatError("an extended attribute has no name", offset=at)
        found[name.decode("utf-8", "surrogateescape")] = value
        at = stop
    return found
