"""A tree as the members of a tar, in PAX format.

Source: POSIX.1-2017 ``pax``; the ``SCHILY.xattr`` keywords that GNU tar, bsdtar and Go know.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from storage.errors import FormatError
from storage.image._image import Image

__all__ = ["Member", "members"]

_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_MAX_PATH = 4095


class Member(NamedTuple):
    """One member: its header, and the inode row whose content follows, or -1 for none.

    A socket has no header, since tar has no sockets.
    """

    header: bytes
    row: int


def members(image: Image) -> Iterator[Member]:
    """Every file once, folders before what is in them; further names of a file are hard links to its first.

    Raises
    ------
    FormatError
        If a folder has a name twice, a path is too long, or an attribute cannot be read.
    """
    first_names: dict[int, bytes] = {}
    waiting: list[tuple[bytes, int]] = [(b"./", 0)]
    while waiting:
        path, row = waiting.pop()
        if len(path) > _MAX_PATH:
            raise FormatError(f"a path is longer than {_MAX_PATH} bytes", path=path[:100].decode("utf-8", "replace"))
        mode = int(image.inodes.mode[row])
        if stat.S_ISDIR(mode):
            inside = b"" if row == 0 else path
            below = [(inside + name, child) for name, child in image.children(row)]
            # Slashes at the end of folders are what tars have.
            waiting += reversed([(name + b"/" if _is_dir(image, child) else name, child) for name, child in below])
        linked = stat.S_ISREG(mode) and int(image.inodes.nlink[row]) > 1
        if linked and row in first_names:
            yield Member(_header(image, path, row, first_names[row]), -1)
            continue
        if linked:
            first_names[row] = path
        has_content = stat.S_ISREG(mode) and int(image.inodes.size[row]) > 0
        yield Member(_header(image, path, row), row if has_content else -1)


def _is_dir(image: Image, row: int) -> bool:
    return stat.S_ISDIR(int(image.inodes.mode[row]))


def _header(image: Image, path: bytes, row: int, linked: bytes | None = None) -> bytes:
    info = image.stat(row)
    kind = _TYPES.get(stat.S_IFMT(info.st_mode))
    if kind is None:
        return b""
    target = linked if linked is not None else image.readlink(row) if kind == tarfile.SYMTYPE else b""
    seconds, fraction = divmod(info.st_mtime_ns, 10**9)
    numbers = {"uid": info.st_uid, "gid": info.st_gid, "mtime": seconds}
    numbers["size"] = info.st_size if kind == tarfile.REGTYPE and linked is None else 0
    large = {name: b"%d" % value for name, value in numbers.items() if not 0 <= value < _FIELDS[name]}
    records = {name: value for name, value in (("path", path), ("linkpath", target)) if not _fits(value)} | large
    if fraction:
        records["mtime"] = b"%d.%09d" % (seconds, fraction)
    if linked is None:
        records |= {f"SCHILY.xattr.{name}": value for name, value in image.xattrs(row).items()}
    member = tarfile.TarInfo(_short(path))
    member.type = tarfile.LNKTYPE if linked is not None else kind
    member.linkname = _short(target)
    member.mode = stat.S_IMODE(info.st_mode)
    member.uid, member.gid, member.mtime, member.size = (
        0 if name in large else numbers[name] for name in ("uid", "gid", "mtime", "size")
    )
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        member.devmajor, member.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    return _extended(records) + member.tobuf(tarfile.USTAR_FORMAT, "ascii", "replace")


# What the header's octal fields hold less than; what does not fit is in the records before it.
_FIELDS = {"uid": 8**7, "gid": 8**7, "mtime": 8**11, "size": 8**11}
_NAME = 100


def _fits(name: bytes) -> bool:
    return len(name) <= _NAME and name.isascii()


def _short(name: bytes) -> str:
    """What of a name the header holds, for whoever does not know the records."""
    return name[:_NAME].decode("ascii", "replace")[:_NAME]


def _extended(records: dict[str, bytes]) -> bytes:
    """A header of PAX records, in which values are bytes: tarfile's own has GNU tar complain of that."""
    if not records:
        return b""
    body = b"".join(_record(os.fsencode(name), value) for name, value in records.items())
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, len(body)
    return member.tobuf(tarfile.USTAR_FORMAT, "ascii", "replace") + body + bytes(-len(body) % tarfile.BLOCKSIZE)


def _record(name: bytes, value: bytes) -> bytes:
    """``length name=value``, the length counting itself."""
    rest = len(name) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, name, value)
