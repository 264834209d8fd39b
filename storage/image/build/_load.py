"""Files of a tree, read in chunks: many small ones go side by side into one buffer."""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np

from storage.codec import crc32c, digest, new_pages
from storage.errors import FormatError
from storage.image.build._node import Content, Node
from storage.image.build._recipe import Recipe

__all__ = ["Piece", "read_pieces"]

_LOAD = 2 << 20  # bytes that are worth a thread's while
_PAGE = 4096
_SHORT = 64 << 10  # what is digested so fast that asking for the GIL afterwards would take as long


class Piece(NamedTuple):
    """A chunk of a file.

    Attributes
    ----------
    small
        Whether it may go into a batch.
    checked
        The digest and the CRC32C of a short one; for whoever works on the others that is the larger part.
    """

    node: Node
    plain: memoryview
    small: bool
    checked: tuple[bytes, int] | None


class _Blocks:
    """Page-aligned buffers, each used again when nobody holds a view of it any more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[mmap.mmap] = []

    def take(self) -> memoryview:
        block = self._free.pop() if self._free else new_pages(self._size)
        lease = np.frombuffer(block, np.uint8)  # views keep it alive, and it is what can be watched
        weakref.finalize(lease, self._free.append, block).atexit = False
        return lease.data


def read_pieces(files: Iterable[Node], recipe: Recipe) -> Iterator[list[Piece]]:
    """The chunks of all files in order, a few MiB at a time; further names of a file have the chunks of its first.

    One thread reads them, and each file before the next one is asked for: over many small ones it
    would hardly let go of the GIL, and several would spend their time waking each other.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    blocks, chunk_size, digester = _Blocks(max(_LOAD, recipe.chunk_size)), recipe.chunk_size, recipe.digester
    block, used, pieces = blocks.take(), 0, list[Piece]()
    for node in _distinct(files):
        small = node.size <= chunk_size and node.size < recipe.batch_size // 2
        with _opened(node) as content:
            for offset in range(0, node.size, chunk_size):
                length = min(chunk_size, node.size - offset)
                start = used if length < _SHORT else -(-used // _PAGE) * _PAGE
                if start + length > len(block):
                    yield pieces
                    block, start, pieces = blocks.take(), 0, []
                used = start + length
                plain = block[start:used]
                _read(content, plain, node)
                checked = (digest(digester, plain), crc32c(plain)) if length < _SHORT else None
                pieces.append(Piece(node, plain, small, checked))
    if pieces:
        yield pieces


def _distinct(files: Iterable[Node]) -> Iterator[Node]:
    """Files that have chunks of their own."""
    first_of: dict[object, Node] = {}
    for node in files:
        if node.identity is not None:
            first = first_of.setdefault(node.identity, node)
            if first is not node:
                node.chunks = first.chunks
                continue
        if node.size and node.open is not None:
            yield node


def _opened(node: Node) -> AbstractContextManager[Content]:
    assert node.open is not None
    try:
        return node.open()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=node.path) from error


def _read(content: Content, buffer: memoryview, node: Node) -> None:
    try:
        while buffer:
            count = content.readinto(buffer)
            if not count:
                raise FormatError("became shorter while it was read", path=node.path)
            buffer = buffer[count:]
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=node.path) from error
