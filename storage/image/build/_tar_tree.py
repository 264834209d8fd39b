"""A tree from the members of a tar, in the order in which they come."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from storage.errors import FormatError
from storage.image.build._node import Content, Node
from storage.image.build._tar_headers import TarEntry, tar_entries
from storage.image.build._tar_stream import TarStream

__all__ = ["TarTree", "tar_content"]

_MAX_NODES = 1 << 22
# eStargz's own files, which are no part of the tree.
_STARGZ = {(b"stargz.index.json",), (b".prefetch.landmark",), (b".no.prefetch.landmark",)}
_SPECIAL = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO)
_NO_DEVICE = 0xFFFF_FFFF  # what the reference leaves in v5 inodes that come from a tar


class TarTree:
    """The tree of a tar, which grows while its files are handed out.

    Missing parents are made as the reference makes them: mode 755, root's, time 0.

    Parameters
    ----------
    stream
        The tar.
    entries
        Its members, if something else than the tar tells them.

    Attributes
    ----------
    root
        Whole once `files` is used up.
    """

    def __init__(self, stream: TarStream, entries: Iterable[TarEntry] | None = None) -> None:
        self.root = _folder(b"", "/")
        self._stream = stream
        self._entries = tar_entries(stream) if entries is None else entries
        self._named: dict[tuple[bytes, ...], Node] = {(): self.root}
        self._made: set[tuple[bytes, ...]] = {()}

    def nodes(self) -> Iterator[Node]:
        """Those of `files`."""
        return (node for node, _ in self.files())

    def files(self) -> Iterator[tuple[Node, TarEntry]]:
        """Regular files with content, each to be read before the next one is asked for.

        Raises
        ------
        FormatError
            If the tar is broken, or two members cannot both be in one tree; names the path.
        """
        for entry in self._entries:
            if entry.parts in _STARGZ:
                continue
            node = self._put(entry)
            if node.is_reg and entry.hardlink is None and node.size:
                yield node, entry
        for node in self._named.values():
            node.children.sort(key=lambda child: child.name)

    def _put(self, entry: TarEntry) -> Node:
        if len(self._named) >= _MAX_NODES:
            raise FormatError(f"the tar has more than {_MAX_NODES:,} members", path=self._stream.path)
        node = self._node(entry)
        known = self._named.get(entry.parts)
        if known is not None:
            self._again(entry, known, node)
            return known
        self._parent(entry.parts).children.append(node)
        self._named[entry.parts] = node
        return node

    def _again(self, entry: TarEntry, known: Node, node: Node) -> None:
        """A folder may come after what is in it, or once more: the last one tells its attributes."""
        if not (known.is_dir and node.is_dir):
            raise FormatError("a path comes twice in the tar", path=entry.path, offset=entry.offset)
        for field in ("mode", "uid", "gid", "mtime_ns", "xattrs"):
            setattr(known, field, getattr(node, field))

    def _parent(self, parts: tuple[bytes, ...]) -> Node:
        """The folder that a path lies in, made where it is missing."""
        depth = len(parts) - 1
        while parts[:depth] not in self._named:
            depth -= 1
        folder = self._named[parts[:depth]]
        if not folder.is_dir:
            what = "a symbolic link" if folder.is_link else "a file"
            path = "/" + b"/".join(parts).decode("utf-8", "backslashreplace")
            raise FormatError(f"a path in the tar leads through {what}", path=path)
        for end in range(depth + 1, len(parts)):
            below = _folder(parts[end - 1], "/" + b"/".join(parts[:end]).decode("utf-8", "backslashreplace"))
            folder.children.append(below)
            folder = self._named[parts[:end]] = below
        return folder

    def _node(self, entry: TarEntry) -> Node:
        if entry.hardlink is not None:
            return self._link(entry, entry.hardlink)
        name = entry.parts[-1] if entry.parts else b""
        if not name and not stat.S_ISDIR(entry.mode):
            raise FormatError("the root of the tar is no folder", path="/", offset=entry.offset)
        return Node(
            name=name,
            path=entry.path,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime_ns=entry.mtime * 10**9,
            rdev=entry.rdev if stat.S_IFMT(entry.mode) in _SPECIAL else _NO_DEVICE,
            size=len(entry.target) or entry.size,
            target=entry.target,
            xattrs=entry.xattrs,
            identity=entry.parts if stat.S_ISREG(entry.mode) else None,
            open=lambda: tar_content(self._stream, entry),
        )

    def _link(self, entry: TarEntry, target: tuple[bytes, ...]) -> Node:
        """Another name of a file that came before."""
        first = self._named.get(target)
        if first is None or first.is_dir or not entry.parts:
            raise FormatError("a hard link in the tar leads to no file before it", path=entry.path, offset=entry.offset)
        first.hardlink = first.is_reg
        return replace(first, name=entry.parts[-1], path=entry.path)


def _folder(name: bytes, path: str) -> Node:
    return Node(name=name, path=path, mode=stat.S_IFDIR | 0o755, rdev=_NO_DEVICE)


def tar_content(stream: TarStream, entry: TarEntry) -> AbstractContextManager[Content]:
    if stream.offset != entry.offset:
        raise FormatError("a tar is read once, in its order", path=entry.path, offset=entry.offset)
    return nullcontext(_Content(stream, entry.size))


class _Content:
    """What is left of a member, from the stream."""

    def __init__(self, stream: TarStream, left: int) -> None:
        self._stream = stream
        self._left = left

    def readinto(self, buffer: memoryview) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)
