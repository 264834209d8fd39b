"""Files of a tree, read in chunks: many small ones go side by side into one buffer."""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np

from storage.errors import FormatError
from storage.image.build._node import Content, Node
from storage.image.build._recipe import Recipe

__all__ = ["SHORT", "Piece", "read_piece", "read_pieces"]

_LOAD = 2 << 20  # bytes that are worth a thread's while
_PAGE = 4096
SHORT = 64 << 10  # what is read, digested and compressed so fast that asking for the GIL takes as long


class Piece(NamedTuple):
    """A chunk of a file; `small` ones may go into a batch, and of some the bytes are to be read yet."""

    node: Node
    plain: memoryview
    small: bool
    unread: bool


class _Blocks:
    """Page-aligned buffers, each used again when nobody holds a view of it any more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[mmap.mmap] = []

    def take(self) -> memoryview:
        block = self._free.pop() if self._free else mmap.mmap(-1, self._size)
        lease = np.frombuffer(block, np.uint8)  # views keep it alive, and it is what can be watched
        weakref.finalize(lease, self._free.append, block).atexit = False
        return lease.data


def read_pieces(files: Iterable[Node], recipe: Recipe, in_turn: bool = False) -> Iterator[list[Piece]]:
    """The chunks of all files in order, a few MiB at a time; further names of a file have the chunks of its first.

    Parameters
    ----------
    in_turn
        Whether each file is to be read before the next one is asked for. Otherwise small ones are left
        unread, for `read_piece`: whoever works on them next does so with less ado than one thread for all.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    blocks = _Blocks(max(_LOAD, recipe.chunk_size))
    block, used, pieces = blocks.take(), 0, list[Piece]()
    for node, offset, content in _chunks(files, recipe.chunk_size, 0 if in_turn else SHORT):
        length = min(recipe.chunk_size, node.size - offset)
        start = -(-used // _PAGE) * _PAGE if length >= SHORT else used
        if start + length > len(block):
            yield pieces
            block, start, pieces = blocks.take(), 0, []
        used = start + length
        if content is not None:
            _read(content, block[start:used], node)
        small = node.size <= recipe.chunk_size and node.size < recipe.batch_size // 2
        pieces.append(Piece(node, block[start:used], small, content is None))
    if pieces:
        yield pieces


def _chunks(files: Iterable[Node], chunk_size: int, large: int) -> Iterator[tuple[Node, int, Content | None]]:
    """Each chunk as a file, an offset in it, and the file opened, but for files of one chunk that are not large."""
    first_of: dict[object, Node] = {}
    for node in files:
        if node.identity is not None:
            first = first_of.setdefault(node.identity, node)
            if first is not node:
                node.chunks = first.chunks
                continue
        if node.size == 0 or node.open is None:
            continue
        if node.size < large and node.size <= chunk_size:
            yield node, 0, None
            continue
        with _opened(node) as content:
            for offset in range(0, node.size, chunk_size):
                yield node, offset, content


def read_piece(piece: Piece) -> None:
    """Read a file that is one chunk; any number of threads may do so.

    Raises
    ------
    FormatError
        See `read_pieces`.
    """
    with _opened(piece.node) as content:
        _read(content, piece.plain, piece.node)


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
