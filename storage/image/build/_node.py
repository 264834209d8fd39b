"""A tree to be built: nodes from a directory, or from an image that is built again."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Protocol

from storage.errors import FormatError, UnsupportedError
from storage.image._ondisk import XATTR_PREFIXES

__all__ = ["Content", "Node", "directory_tree", "walk"]

_KNOWN_XATTRS = tuple(XATTR_PREFIXES.values())


class Content(Protocol):
    """An opened file: all that the builder asks of one."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read up to ``len(buffer)`` bytes; 0 at the end."""


@dataclass(slots=True)
class Node:
    """A file of the tree, with what a builder fills in.

    Attributes
    ----------
    name
        Its last path component.
    path
        For messages.
    identity
        Equal for names of the same regular file; None where it has no other name.
    hardlink
        Whether v5 calls it a hard link; the reference does so for tars only.
    file, open
        Where on disk a regular file's content is, or else what opens it.
    children
        Of a directory, sorted by name.
    offset, data_offset, inline, chunks
        Filled in: place of the inode and of whole blocks in the bootstrap, whether the tail is
        inline, rows of the chunk list.
    number, inode, first_child, digest
        Filled in for v5: place in the inode table, that of the file's first name, that of a
        directory's first child, and the digest of the content.
    """

    name: bytes
    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    rdev: int = 0
    size: int = 0
    target: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    identity: object = None
    hardlink: bool = False
    file: bytes = b""
    open: Callable[[], AbstractContextManager[Content]] | None = None
    children: list[Node] = field(default_factory=list)
    nlink: int = 1
    offset: int = 0
    data_offset: int = 0
    inline: bool = False
    chunks: list[int] = field(default_factory=list)
    number: int = 0
    inode: int = 0
    first_child: int = 0
    digest: bytes = b""

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_reg(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def walk(node: Node) -> Iterator[Node]:
    """Every node below one, in the order in which the reference lays them out.

    All children of a directory, then what is below each of its directories.
    """
    folders = [node]
    while folders:
        folder = folders.pop()
        yield from folder.children
        folders.extend(child for child in reversed(folder.children) if child.is_dir)


def directory_tree(path: str | Path, leave_out: Collection[str] = ()) -> Node:
    """The tree of a directory on disk.

    Parameters
    ----------
    leave_out
        Names in the directory itself that are not taken.

    Raises
    ------
    FormatError
        If something in it cannot be read; names the path.
    """
    root = _node(b"", os.fsencode(path))
    if not root.is_dir:
        raise FormatError("is not a directory", path=path)
    root.mtime_ns = 0  # as the reference has it, so that builds can be repeated
    folders = [(root, os.fsencode(path))]
    while folders:
        folder, place = folders.pop()
        for entry in _entries(place):
            if folder is root and os.fsdecode(entry.name) in leave_out:
                continue
            child = _node(entry.name, entry.path, entry)
            folder.children.append(child)
            if child.is_dir:
                folders.append((child, entry.path))
    return root


def _entries(place: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=attrgetter("name"))
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=os.fsdecode(place)) from error


def _node(name: bytes, path: bytes, entry: os.DirEntry[bytes] | None = None) -> Node:
    try:
        info = entry.stat(follow_symlinks=False) if entry else os.lstat(path)
        node = Node(
            name=name,
            path=os.fsdecode(path),
            mode=info.st_mode,
            uid=info.st_uid,
            gid=info.st_gid,
            mtime_ns=info.st_mtime_ns,
            rdev=info.st_rdev if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode) else 0,
            xattrs=_xattrs(path),
        )
        if node.is_reg:
            node.size = info.st_size
            node.identity = (info.st_dev, info.st_ino) if info.st_nlink > 1 else None
            node.file = path
        elif node.is_link:
            node.target = os.readlink(path)
            node.size = len(node.target)
        return node
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=os.fsdecode(path)) from error


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    if sys.platform != "linux":
        return ()
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    for name in names:
        if not name.startswith(_KNOWN_XATTRS):
            raise UnsupportedError(f"extended attribute {name!r} has no place in RAFS", path=os.fsdecode(path))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
