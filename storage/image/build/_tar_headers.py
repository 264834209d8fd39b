"""Tar headers from a stream: ustar, PAX, and GNU's long names.

Nothing is sought, so that a pipe will do, and nothing is kept but the header under way.

Source: POSIX.1-2017 ``pax``; GNU tar manual, "Basic Tar Format"; nydus ``builder/src/tarball.rs``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import TAR_BLOCK_SIZE as TAR_BLOCK
from storage.image._ondisk import XATTR_PREFIXES

__all__ = ["TAR_BLOCK", "Source", "TarEntry", "TarStream", "path_parts", "tar_entries"]

_MAX_EXTENSION = 1 << 20  # of one extended header: names and xattrs are far shorter
_MAX_PATH = 4096
_MAX_SIZE = 1 << 44  # what a blob can hold
_XATTR = b"SCHILY.xattr."
_KINDS = {
    b"0": stat.S_IFREG,
    b"\0": stat.S_IFREG,
    b"7": stat.S_IFREG,  # contiguous: a regular file to everyone since
    b"1": stat.S_IFREG,
    b"2": stat.S_IFLNK,
    b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK,
    b"5": stat.S_IFDIR,
    b"6": stat.S_IFIFO,
}


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


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A member of a tar.

    Attributes
    ----------
    parts
        Its path from the root, in components; none for the root itself.
    hardlink
        Components of the path that it is another name of, if it is one.
    offset, size
        Its content in the tar, in bytes; no size for anything but a regular file.
    """

    parts: tuple[bytes, ...]
    mode: int
    uid: int
    gid: int
    mtime: int
    rdev: int
    target: bytes
    hardlink: tuple[bytes, ...] | None
    xattrs: tuple[tuple[str, bytes], ...]
    offset: int
    size: int

    @property
    def path(self) -> str:
        """For messages."""
        return "/" + b"/".join(self.parts).decode("utf-8", "backslashreplace")


def tar_entries(stream: TarStream) -> Iterator[TarEntry]:
    """Members in order; what the caller does not read of their content is skipped.

    Raises
    ------
    FormatError
        If a header is broken, a path climbs out of the root, or the tar is cut short.
    UnsupportedError
        If a member is of a kind that has no place in an image: sparse files, for one.
    """
    world: dict[bytes, bytes] = {}
    own: dict[bytes, bytes] = {}
    while header := stream.read(TAR_BLOCK):
        at = stream.offset - len(header)
        header += stream.exactly(TAR_BLOCK - len(header))
        if not any(header):
            continue  # as the reference has it, zeros do not end a tar
        _check_sum(header, stream, at)
        kind = header[156:157]
        if kind in (b"x", b"g", b"L", b"K"):
            text = stream.exactly(_extension_size(header, stream, at))
            stream.skip_to(_up(stream.offset))
            if kind in (b"L", b"K"):
                own[b"path" if kind == b"L" else b"linkpath"] = text.rstrip(b"\0")
            else:
                (world if kind == b"g" else own).update(_records(text, stream, at))
            continue
        entry = _entry(header, world | own, stream, at)
        own = {}
        yield entry
        stream.skip_to(_up(entry.offset + entry.size))


def _entry(header: bytes, extended: dict[bytes, bytes], stream: TarStream, at: int) -> TarEntry:
    kind = header[156:157]
    if kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in extended):
        raise UnsupportedError("sparse members of a tar are refused: make it without --sparse", **_where(stream, at))
    if kind not in _KINDS:
        raise UnsupportedError(f"tar members of type {kind!r} are refused", **_where(stream, at))
    name = extended.get(b"path") or _name(header)
    directory = kind in (b"0", b"\0") and name.endswith(b"/")  # how tars older than ustar have it
    form = stat.S_IFDIR if directory else _KINDS[kind]
    target = extended.get(b"linkpath") or _text(header, 157, 100)
    size = _extended(extended, b"size", stream, at, _octal(header, 124, 12, "size", stream, at))
    regular = stat.S_ISREG(form) and kind != b"1"
    if not 0 <= size <= _MAX_SIZE:
        raise FormatError(f"a tar member of {size} bytes is none", field="size", **_where(stream, at))
    if directory and size:
        raise FormatError("a folder with content", field="size", **_where(stream, at))
    if kind == b"2" and not 0 < len(target) <= _MAX_PATH:
        raise FormatError("a link in a tar has no target, or a very long one", field="linkname", **_where(stream, at))
    return TarEntry(
        parts=_parts(name, stream, at),
        mode=form | _octal(header, 100, 8, "mode", stream, at) & 0o7777,
        uid=_id(extended, b"uid", header, 108, stream, at),
        gid=_id(extended, b"gid", header, 116, stream, at),
        mtime=_extended(extended, b"mtime", stream, at, _octal(header, 136, 12, "mtime", stream, at)),
        rdev=_device(header, stream, at) if kind in (b"3", b"4") else 0,
        target=target if kind == b"2" else b"",
        hardlink=_parts(target, stream, at) if kind == b"1" else None,
        xattrs=_xattrs(extended, stream, at),
        offset=stream.offset,
        size=size if regular else 0,
    )


def _parts(name: bytes, stream: TarStream, at: int) -> tuple[bytes, ...]:
    return path_parts(name, **_where(stream, at))


def path_parts(name: bytes, **where: object) -> tuple[bytes, ...]:
    """Components of a path, which must stay below the root.

    Raises
    ------
    FormatError
        If it does not, or is no path.
    """
    shown = name[:100].decode("utf-8", "backslashreplace")
    if len(name) > _MAX_PATH:
        raise FormatError(f"a path in a tar has {len(name)} bytes: {shown!r}...", **where)
    if name.startswith(b"/"):
        raise FormatError(f"a path in a tar is absolute: {shown!r}", **where)
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise FormatError(f"a path in a tar climbs out: {shown!r}", **where)
    if b"\0" in name or any(len(part) > 255 for part in parts):
        raise FormatError(f"a path in a tar is no path: {shown!r}", **where)
    if not name:
        raise FormatError("a tar member has no name", **where)
    return parts


def _name(header: bytes) -> bytes:
    name = _text(header, 0, 100)
    prefix = _text(header, 345, 155) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _xattrs(extended: dict[bytes, bytes], stream: TarStream, at: int) -> tuple[tuple[str, bytes], ...]:
    found = []
    for key in sorted(key for key in extended if key.startswith(_XATTR)):
        name = os.fsdecode(key[len(_XATTR) :])
        if not name.startswith(tuple(XATTR_PREFIXES.values())):
            raise UnsupportedError(f"extended attribute {name!r} has no place in RAFS", **_where(stream, at))
        found.append((name, extended[key]))
    return tuple(found)


def _records(text: bytes, stream: TarStream, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The ``length key=value`` lines of a PAX header."""
    start = 0
    while start < len(text):
        digits, _, _ = text[start : start + 20].partition(b" ")
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = text[start + len(digits) + 1 : end].partition(b"=")
        if end <= start + len(digits) + 1 or end > len(text) or not equals or not value.endswith(b"\n"):
            raise FormatError("a PAX header of the tar is broken", **_where(stream, at))
        yield key, value[:-1]
        start = end


def _extended(extended: dict[bytes, bytes], key: bytes, stream: TarStream, at: int, otherwise: int) -> int:
    """A number of a PAX header, rounded down: seconds may have a fraction, which images do not keep."""
    text = extended.get(key)
    if not text:
        return otherwise
    whole, _, fraction = text.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 20 or (fraction and not fraction.isdigit()):
        raise FormatError(f"a PAX header has {key.decode()} {text[:40]!r}", field=key.decode(), **_where(stream, at))
    return int(whole) - (whole.startswith(b"-") and bool(fraction.strip(b"0")))


def _id(extended: dict[bytes, bytes], key: bytes, header: bytes, start: int, stream: TarStream, at: int) -> int:
    value = _extended(extended, key, stream, at, _octal(header, start, 8, key.decode(), stream, at))
    if not 0 <= value < 1 << 32:
        raise FormatError(f"{value} is no {key.decode()}", field=key.decode(), **_where(stream, at))
    return value


def _device(header: bytes, stream: TarStream, at: int) -> int:
    major = _octal(header, 329, 8, "devmajor", stream, at)
    minor = _octal(header, 337, 8, "devminor", stream, at)
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise FormatError(f"{major}:{minor} is no device", field="devmajor", **_where(stream, at))
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def _extension_size(header: bytes, stream: TarStream, at: int) -> int:
    size = _octal(header, 124, 12, "size", stream, at)
    if not 0 <= size <= _MAX_EXTENSION:
        raise FormatError(f"an extended header of {size} bytes is none", field="size", **_where(stream, at))
    return size


def _octal(header: bytes, start: int, length: int, field: str, stream: TarStream, at: int) -> int:
    """A number: octal digits, or base 256 where the first bit is set."""
    raw = header[start : start + length]
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big") & (1 << length * 8 - 1) - 1
        return value - (1 << length * 8 - 1) if raw[0] & 0x40 else value
    digits = raw.split(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise FormatError(f"a tar header has {field} {digits!r}", field=field, **_where(stream, at))
    return int(digits, 8) if digits else 0


def _check_sum(header: bytes, stream: TarStream, at: int) -> None:
    if header[148:156].strip(b" \x000123456789"):
        raise FormatError("is not a tar", path=stream.path, offset=at)
    told = _octal(header, 148, 8, "checksum", stream, at)
    rest = header[:148] + b" " * 8 + header[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in rest) if told != sum(rest) else told
    if told != signed:
        raise FormatError("is not a tar, or one with a broken header", field="checksum", **_where(stream, at))


def _text(header: bytes, start: int, length: int) -> bytes:
    return header[start : start + length].split(b"\0")[0]


def _where(stream: TarStream, at: int) -> dict[str, object]:
    return {"path": stream.path, "offset": at}


def _up(offset: int) -> int:
    return -(-offset // TAR_BLOCK) * TAR_BLOCK
