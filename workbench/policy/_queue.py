"""A queue of chunks in an int64 arena: a circle of four words a node, with node 0 as its seam.

Chunk ``c`` is node ``c + 1``. Everything is numba's subset and runs on memoryviews as well.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MARK", "NEWER", "OLDER", "WIDTH", "arena", "chunk_of", "clear", "oldest_free", "push", "renew", "unlink"]

# Words of a node; MARK is the policy's own, and that of node 0 too.
NEWER = 0
OLDER = 1
MARK = 2
WIDTH = 4  # a power of two, for the sake of what chunk a node is
_SHIFT = 2


def arena(chunks: int) -> tuple[int, int]:
    """Sizes of the int64 and the float64 arena for `chunks` chunks."""
    return WIDTH * (chunks + 1), 1


def clear(ints: Any) -> None:
    """Make the queue empty; what the nodes of chunks hold does not matter until they are pushed."""
    ints[NEWER] = ints[OLDER] = ints[MARK] = 0


def chunk_of(node: int) -> int:
    """A node's chunk; -1 for the seam."""
    return (node >> _SHIFT) - 1


def push(ints: Any, chunk: int) -> None:
    """Append a chunk at the new end."""
    node = WIDTH * (chunk + 1)
    newest = ints[OLDER]
    ints[node + NEWER] = 0
    ints[node + OLDER] = newest
    ints[node + MARK] = 0
    ints[newest + NEWER] = node
    ints[OLDER] = node


def unlink(ints: Any, chunk: int) -> None:
    """Take a chunk out, wherever it is."""
    node = WIDTH * (chunk + 1)
    newer, older = ints[node + NEWER], ints[node + OLDER]
    ints[older + NEWER] = newer
    ints[newer + OLDER] = older


def renew(ints: Any, chunk: int) -> None:
    """Take a chunk from wherever it is to the new end."""
    node, newest = WIDTH * (chunk + 1), ints[OLDER]
    if newest != node:
        # That it is not the newest says that the newest stays what it is: nothing is read of what was just written.
        newer, older = ints[node + NEWER], ints[node + OLDER]
        ints[older + NEWER] = newer
        ints[newer + OLDER] = older
        ints[node + NEWER] = 0
        ints[node + OLDER] = newest
        ints[newest + NEWER] = node
        ints[OLDER] = node


def oldest_free(ints: Any, pinned: Any) -> int:
    """The oldest chunk that is not pinned; -1 if there is none."""
    node = ints[NEWER]
    while node != 0:
        chunk = chunk_of(node)
        if pinned[chunk] == 0:
            return chunk
        node = ints[node + NEWER]
    return -1
