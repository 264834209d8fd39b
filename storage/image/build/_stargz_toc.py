"""The table of contents of a stargz layer: every member of the tar, and where its chunks' gzip members begin.

Source: stargz-snapshotter ``docs/stargz-estargz.md``; nydus ``builder/src/stargz.rs``.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any, NamedTuple

from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import MAX_CHUNK_SIZE, XATTR_PREFIXES
from storage.image.build._tar_headers import TarEntry, path_parts

__all__ = ["StargzChunk", "StargzMember", "find_toc", "parse_toc"]

_NAME = "stargz.index.json"
_FOOTERS = ((51, 26), (47, 22))  # eStargz's and stargz's: bytes, and bytes of their extra field
_MAX_TOC = 256 << 20
_MAX_ENTRIES = 1 << 22
_KINDS = {
    "dir": stat.S_IFDIR,
    "reg": stat.S_IFREG,
    "hardlink": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class StargzChunk(NamedTuple):
    """A part of a file: where it is in the file, where its gzip member begins, and where in that member it is."""

    file_offset: int
    size: int
    offset: int
    inner: int
    digest: bytes


class StargzMember(NamedTuple):
    """A member of the tar, and its chunks in order; its `TarEntry.offset` is its number in the table."""

    entry: TarEntry
    chunks: list[StargzChunk]


def find_toc(layer: IO[bytes], path: str) -> tuple[bytes, int] | None:
    """The table of contents of a layer, and where its member begins; None if the layer has none.

    Raises
    ------
    FormatError
        If the footer leads to no table.
    """
    size = layer.seek(0, 2)
    for length, extra in _FOOTERS:
        layer.seek(max(size - length, 0))
        footer = layer.read(length)
        digits = footer[12 + extra - 22 :][:16]
        if footer[:4] == b"\x1f\x8b\x08\x04" and footer[12 + extra - 6 :][:6] == b"STARGZ":
            break
    else:
        return None
    if digits.strip(b"0123456789abcdef") or int(digits, 16) >= size:
        raise FormatError("the footer of the stargz layer leads past its end", path=path, offset=size - length)
    offset = int(digits, 16)
    layer.seek(offset)
    try:
        decoder = zlib.decompressobj(wbits=31)
        plain = decoder.decompress(layer.read(size - offset), _MAX_TOC)
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            member = tar.next()
            content = tar.extractfile(member) if member is not None and member.name == _NAME else None
            if content is None:
                raise FormatError(f"no {_NAME} is where the footer says", path=path, offset=offset)
            return content.read(), offset
    except (zlib.error, tarfile.TarError, ValueError) as error:
        raise FormatError(f"the table of contents cannot be read: {error}", path=path, offset=offset) from error


def parse_toc(content: bytes, path: str) -> tuple[list[StargzMember], int]:
    """Members in the table's order, and the size that its chunks have; 0 where no file is in several.

    Raises
    ------
    FormatError
        If it is not a table, or an entry of it is broken; names the entry.
    UnsupportedError
        If it is of another version, or an entry of an unknown kind.
    """
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the table of contents is not JSON: {error}", path=path) from error
    if not isinstance(table, dict) or not isinstance(table.get("entries"), list):
        raise FormatError("the table of contents has no entries", path=path, field="entries")
    if table.get("version") != 1:
        raise UnsupportedError(f"is a table of contents of version {str(table.get('version'))[:20]}", path=path)
    if len(table["entries"]) > _MAX_ENTRIES:
        raise FormatError(f"the table of contents has {len(table['entries']):,} entries", path=path)
    members: dict[tuple[bytes, ...], StargzMember] = {}
    raw: dict[tuple[bytes, ...], list[dict[str, Any]]] = {}
    order: list[StargzMember] = []
    for number, entry in enumerate(table["entries"]):
        where = {"path": path, "field": f"entries[{number}]"}
        if not isinstance(entry, dict):
            raise FormatError("is not an object", **where)
        parts = path_parts(_text(entry, "name", where), **where)
        if entry.get("type") == "chunk":
            if parts not in raw:
                raise FormatError("a chunk of no file before it", **where)
            raw[parts].append(entry)
            continue
        member = StargzMember(_tar_entry(entry, parts, number, where), [])
        order.append(member)
        if entry.get("type") == "reg":
            members[parts], raw[parts] = member, [entry]
    for parts, member in members.items():
        where = {"path": path, "field": "/" + b"/".join(parts).decode("utf-8", "backslashreplace")}
        member.chunks.extend(_chunks(raw[parts], member.entry.size, where))
    return order, max((_number(first, "chunkSize", {}) for first, *more in raw.values() if more), default=0)


def _chunks(entries: list[dict[str, Any]], size: int, where: dict[str, Any]) -> Iterator[StargzChunk]:
    """Chunks of a file, which are to be all of it, each but the last of one size."""
    at = 0
    for number, entry in enumerate(entries if size else ()):
        told = _number(entry, "chunkSize", where)
        length = told or size - at
        last = number == len(entries) - 1
        if _number(entry, "chunkOffset", where) != at or not 0 < length <= MAX_CHUNK_SIZE or at + length > size:
            raise FormatError("chunks of a file are not one behind the other, or too large", **where)
        if not last and length != _number(entries[0], "chunkSize", where):
            raise FormatError("chunks of a file are not of one size", **where)
        digest = entry.get("chunkDigest") or ""
        if digest and (not isinstance(digest, str) or not _DIGEST.fullmatch(digest)):
            raise FormatError(f"{str(digest)[:80]!r} is not a sha256 digest", **where)
        yield StargzChunk(
            at, length, _number(entry, "offset", where), _number(entry, "innerOffset", where), bytes.fromhex(digest[7:])
        )
        at += length
    if at != size:
        raise FormatError(f"chunks of a file of {size} bytes are {at}", **where)


def _tar_entry(entry: dict[str, Any], parts: tuple[bytes, ...], number: int, where: dict[str, Any]) -> TarEntry:
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UnsupportedError(f"entries of type {str(kind)[:20]!r} are refused", **where)
    target = _text(entry, "linkName", where) if kind in ("symlink", "hardlink") else b""
    if kind == "symlink" and not 0 < len(target) <= 4096:
        raise FormatError("a symbolic link has no target, or a very long one", **where)
    major, minor = _number(entry, "devMajor", where), _number(entry, "devMinor", where)
    if major >= 1 << 12 or minor >= 1 << 20:
        raise FormatError(f"{major}:{minor} is no device", **where)
    return TarEntry(
        parts=parts,
        mode=_KINDS[kind] | _number(entry, "mode", where) & 0o7777,
        uid=_number(entry, "uid", where, 1 << 32),
        gid=_number(entry, "gid", where, 1 << 32),
        mtime=_time(entry.get("modtime"), where),
        rdev=minor & 0xFF | major << 8 | (minor & ~0xFF) << 12,
        target=target if kind == "symlink" else b"",
        hardlink=path_parts(target, **where) if kind == "hardlink" else None,
        xattrs=tuple(_xattrs(entry.get("xattrs"), where)),
        offset=number,
        size=_number(entry, "size", where, 1 << 44) if kind == "reg" else 0,
    )


def _xattrs(xattrs: object, where: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    if xattrs is None:
        return
    if not isinstance(xattrs, dict):
        raise FormatError("xattrs are not an object", **where)
    for name, value in sorted(xattrs.items()):
        if not name.startswith(tuple(XATTR_PREFIXES.values())):
            raise UnsupportedError(f"extended attribute {name[:80]!r} has no place in RAFS", **where)
        try:
            yield name, base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise FormatError(f"extended attribute {name[:80]!r} is not base64", **where) from error


def _time(text: object, where: dict[str, Any]) -> int:
    """Seconds, rounded down."""
    if text in (None, ""):
        return 0
    try:
        return int(datetime.fromisoformat(str(text)).timestamp() // 1)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{str(text)[:40]!r} is no time", **where) from error


def _text(entry: dict[str, Any], name: str, where: dict[str, Any]) -> bytes:
    value = entry.get(name)
    if not isinstance(value, str):
        raise FormatError(f"has no {name}", **where)
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise FormatError(f"has a {name} that is no path", **where) from error


def _number(entry: dict[str, Any], name: str, where: dict[str, Any], limit: int = 1 << 44) -> int:
    value = entry.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise FormatError(f"has {name} {str(value)[:40]}", **where)
    return value
