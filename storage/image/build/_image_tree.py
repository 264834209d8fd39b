"""The tree of an opened image, so that it can be built again with other options."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.codec import decompress_into
from storage.errors import FormatError, MissingBlobError
from storage.image._image import Image
from storage.image.build._node import Content, Node

__all__ = ["image_tree"]


def image_tree(image: Image, blobs: str | Path, rows: npt.NDArray[np.int64] | None = None) -> Node:
    """The tree of `image`, whose blobs lie in the folder `blobs`.

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
    names = {b"/": _node(image, Path(blobs), b"", b"/", 0)}
    for path, row in zip(paths[1:], inodes[1:].tolist(), strict=True):
        parent, _, name = path.rpartition(b"/")
        node = _node(image, Path(blobs), name, path, row)
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


def _node(image: Image, blobs: Path, name: bytes, path: bytes, row: int) -> Node:
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
        node.open = _opener(image, blobs, row)
    elif stat.S_ISLNK(info.st_mode):
        node.target = image.readlink(row)
        node.size = len(node.target)
    return node


def _opener(image: Image, blobs: Path, row: int) -> Callable[[], AbstractContextManager[Content]]:
    return lambda: nullcontext(_Content(image, blobs, row))


class _Content:
    """A file of an image, read chunk by chunk from its blobs."""

    def __init__(self, image: Image, blobs: Path, row: int) -> None:
        self._image = image
        self._blobs = blobs
        self._row = row
        self._at = 0

    def readinto(self, buffer: memoryview) -> int:
        rows, offsets, lengths = self._image.segments(self._row, self._at, len(buffer))
        done = 0
        for chunk, offset, length in zip(rows, offsets, lengths, strict=True):
            buffer[done : done + length] = self._chunk(chunk)[offset : offset + length]
            done += length
        self._at += done
        return done

    def _chunk(self, row: int) -> memoryview:
        chunks = self._image.chunks
        info = self._image.infos[int(chunks.blob[row])]
        path = self._blobs / info.blob_id
        try:
            with path.open("rb") as blob:
                blob.seek(int(chunks.compressed_offset[row]))
                stored = blob.read(int(chunks.compressed_size[row]))
        except FileNotFoundError as error:
            raise MissingBlobError("the blob is missing", path=path) from error
        if not chunks.compressed[row]:
            return memoryview(stored)
        plain = memoryview(bytearray(int(chunks.uncompressed_size[row])))
        decompress_into(info.compressor, memoryview(stored), plain)
        return plain
