"""Tar headers from a stream: ustar, PAX, and GNU's long names.

Nothing is sought, so that a pipe will do, and nothing is kept but the header under way.

Source: POSIX.1-2017 ``pax``; GNU tar manual, "Basic Tar Format"; nydus ``builder/src/tarball.rs``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import XATTR_PREFIXES
from storage.image.build._tar_fields import (
    TAR_BLOCK,
    check_sum,
    device,
    extension_size,
    identity,
    number,
    octal,
    pax_records,
    text_of,
    up,
    where,
)
from storage.image.build._tar_stream import TarStream

__all__ = ["TarEntry", "path_parts", "tar_entries"]

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
        check_sum(header, stream, at)
        kind = header[156:157]
        if kind in (b"x", b"g", b"L", b"K"):
            text = stream.exactly(extension_size(header, stream, at))
            stream.skip_to(up(stream.offset))
            if kind in (b"L", b"K"):
                own[b"path" if kind == b"L" else b"linkpath"] = text.rstrip(b"\0")
            else:
                (world if kind == b"g" else own).update(pax_records(text, stream, at))
            continue
        entry = _entry(header, world | own, stream, at)
        own = {}
        yield entry
        stream.skip_to(up(entry.offset + entry.size))


def _entry(header: bytes, extended: dict[bytes, bytes], stream: TarStream, at: int) -> TarEntry:
    kind = header[156:157]
    if kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in extended):
        raise UnsupportedError("sparse members of a tar are refused: make it without --sparse", **where(stream, at))
    if kind not in _KINDS:
        raise UnsupportedError(f"tar members of type {kind!r} are refused", **where(stream, at))
    name = extended.get(b"path") or _name(header)
    directory = kind in (b"0", b"\0") and name.endswith(b"/")  # how tars older than ustar have it
    form = stat.S_IFDIR if directory else _KINDS[kind]
    target = extended.get(b"linkpath") or text_of(header, 157, 100)
    size = number(extended, b"size", stream, at, octal(header, 124, 12, "size", stream, at))
    regular = stat.S_ISREG(form) and kind != b"1"
    if not 0 <= size <= _MAX_SIZE:
        raise FormatError(f"a tar member of {size} bytes is none", field="size", **where(stream, at))
    if directory and size:
        raise FormatError("a folder with content", field="size", **where(stream, at))
    if kind == b"2" and not 0 < len(target) <= _MAX_PATH:
        raise FormatError("a link in a tar has no target, or a very long one", field="linkname", **where(stream, at))
    return TarEntry(
        parts=_parts(name, stream, at),
        mode=form | octal(header, 100, 8, "mode", stream, at) & 0o7777,
        uid=identity(extended, b"uid", header, 108, stream, at),
        gid=identity(extended, b"gid", header, 116, stream, at),
        mtime=number(extended, b"mtime", stream, at, octal(header, 136, 12, "mtime", stream, at)),
        rdev=device(header, stream, at) if kind in (b"3", b"4") else 0,
        target=target if kind == b"2" else b"",
        hardlink=_parts(target, stream, at) if kind == b"1" else None,
        xattrs=_xattrs(extended, stream, at),
        offset=stream.offset,
        size=size if regular else 0,
    )


def _parts(name: bytes, stream: TarStream, at: int) -> tuple[bytes, ...]:
    return path_parts(name, **where(stream, at))


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
    name = text_of(header, 0, 100)
    prefix = text_of(header, 345, 155) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _xattrs(extended: dict[bytes, bytes], stream: TarStream, at: int) -> tuple[tuple[str, bytes], ...]:
    found = []
    for key in sorted(key for key in extended if key.startswith(_XATTR)):
        name = os.fsdecode(key[len(_XATTR) :])
        if not name.startswith(tuple(XATTR_PREFIXES.values())):
            raise UnsupportedError(f"extended attribute {name!r} has no place in RAFS", **where(stream, at))
        found.append((name, extended[key]))
    return tuple(found)
