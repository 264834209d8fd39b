"""The tree of an opened image, so that it can be built again with other options."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._source import BlobSource
from storage.image.build._node import Content, Node

__all__ = ["image_tree"]


def image_tree(image: Image, blobs: str | Path | BlobSource, rows: npt.NDArray[np.int64] | None = None) -> Node:
    """The tree of `image`, whose blobs lie in the folder `blobs`, or wherever that has them.

    Parameters
    ----------
    rows
        Where in a chunk list each chunk of the image is, for a bootstrap of chunks that are there
        already; by default files get their chunks when they are written.

    Raises
    ------
    FormatError
        If a directory has a name twice.
    MissingBlobError
        When a file is opened whose blob is not there.
    """
    paths, inodes = image.paths()
    reader = ChunkReader(image, blobs)
    names = {b"/": _node(image, reader, b"", b"/", 0)}
    for path, row in zip(paths[1:], inodes[1:].tolist(), strict=True):
        parent, _, name = path.rpartition(b"/")
        node = _node(image, reader, name, path, row)
        if rows is not None and node.is_reg:
            first = int(image.inodes.first_extent[row])
            node.chunks = rows[image.extents.chunk[first : first + int(image.inodes.extents[row])]].tolist()
        names[path] = node
        names[parent or b"/"].children.append(node)
    for path, node in names.items():
        node.children.sort(key=lambda child: child.name)
        if any(child.name == after.name for child, after in pairwise(node.children)):
            raise FormatError("a directory has a name twice", path=path.decode("utf-8", "backslashreplace"))
    return names[b"/"]


def _node(image: Image, reader: ChunkReader, name: bytes, path: bytes, row: int) -> Node:
    info = image.stat(row)
    node = Node(
        name=name,
        path=path.decode("utf-8", "surrogateescape"),
        mode=info.st_mode,
        uid=info.st_uid,
        gid=info.st_gid,
        mtime_ns=info.st_mtime_ns,
        rdev=info.st_rdev,
        xattrs=tuple(sorted(image.xattrs(row).items())),
    )
    if stat.S_ISREG(info.st_mode):
        node.size = info.st_size
        node.identity = row if info.st_nlink > 1 else None
        node.open = _opener(image, reader, row)
    elif stat.S_ISLNK(info.st_mode):
        node.target = image.readlink(row)
        node.size = len(node.target)
    return node


def _opener(image: Image, reader: ChunkReader, row: int) -> Callable[[], AbstractContextManager[Content]]:
    return lambda: nullcontext(_Content(image, reader, row))


class _Content:
    """A file of an image, read chunk by chunk from its blobs."""

    def __init__(self, image: Image, reader: ChunkReader, row: int) -> None:
        self._image = image
        self._reader = reader
        self._row = row
        self._at = 0

    def readinto(self, buffer: memoryview) -> int:
        rows, offsets, lengths = self._image.segments(self._row, self._at, len(buffer))
        done = 0
        for chunk, offset, length in zip(rows, offsets, lengths, strict=True):
            buffer[done : done + length] = self._reader.read(chunk)[offset : offset + length]
            done += length
        self._at += done
        return done
