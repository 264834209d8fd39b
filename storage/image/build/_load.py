"""Files of a tree, dealt out in chunks: many small ones go side by side into one block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from storage.errors import FormatError
from storage.image.build._blocks import Block
from storage.image.build._node import Content, Node
from storage.image.build._recipe import Recipe
from storage.image.build._work import Piece

__all__ = ["LOAD", "MOST", "Load", "read_loads"]

LOAD = 2 << 20  # bytes that are worth a hand-over
MOST = 256  # pieces of a load: what is said of them fits into a pipe a few times
_PAGE = 4096
_SHORT = 64 << 10  # what need not begin with a page


class Load(NamedTuple):
    """A block with pieces of files, and the file of each."""

    block: Block
    nodes: list[Node]
    pieces: list[Piece]


def read_loads(files: Iterable[Node], recipe: Recipe, take: Callable[[], Block]) -> Iterator[Load]:
    """The chunks of all files in order, a few MiB at a time; further names of a file have the chunks of its first.

    Files on disk are left to be read by whoever works on them; others are read here, each before
    the next one is asked for.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    size, chunk_size = max(LOAD, recipe.chunk_size), recipe.chunk_size
    load, used = Load(take(), [], []), 0
    for node in _distinct(files):
        small = node.size <= chunk_size and node.size < recipe.batch_size // 2
        with _opened(node) as content:
            for offset in range(0, node.size, chunk_size):
                length = min(chunk_size, node.size - offset)
                start = used if length < _SHORT else -(-used // _PAGE) * _PAGE
                if start + length > size or len(load.pieces) == MOST:
                    yield load
                    del load  # so that its block can be taken again
                    load, start = Load(take(), [], []), 0
                used = start + length
                if content is not None:
                    _read(content, load.block.plain[start:used], node)
                load.nodes.append(node)
                load.pieces.append((node.file, offset, start, length, small))
    if load.pieces:
        yield load


def _distinct(files: Iterable[Node]) -> Iterator[Node]:
    """Files that have chunks of their own."""
    first_of: dict[object, Node] = {}
    for node in files:
        if node.identity is not None:
            first = first_of.setdefault(node.identity, node)
            if first is not node:
                node.chunks = first.chunks
                continue
        if node.size and (node.file or node.open is not None):
            yield node


def _opened(node: Node) -> AbstractContextManager[Content | None]:
    if node.open is None:
        return nullcontext()
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
