"""Several queues of chunks in an int64 arena, each a circle of nodes with a seam, and the bytes in each.

Nodes 0 to 15 are the seams of as many lists; chunk ``c`` is node ``c + 16``, of four words. A chunk
is in one list at a time, resident or ghost, or in none. The marks of the seams are the policy's
registers: words 2, 6, 10 and so on. Everything is numba's subset and runs on memoryviews as well.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "FIRST",
    "MARK",
    "NEWER",
    "NOWHERE",
    "OLDER",
    "SIZE",
    "WIDTH",
    "arena",
    "bounded",
    "chunk_of",
    "count_of",
    "free_from",
    "move",
    "node_of",
    "oldest",
    "oldest_free",
    "prepare",
    "push",
    "recall",
    "remember",
    "size_of",
    "take",
    "unused",
    "where",
]

NEWER = 0
OLDER = 1
MARK = 2  # of a chunk: the list that it is in, and above that a count
SIZE = 3  # of a chunk its bytes, of a seam those in its list
WIDTH = 4

_LISTS = 16
_BITS = 4
_SHIFT = 2  # of the width
NOWHERE = _LISTS - 1
FIRST = WIDTH * _LISTS  # the first node that is a chunk's


def arena(chunks: int) -> tuple[int, int]:
    """Sizes of the int64 and the float64 arena for `chunks` chunks."""
    return WIDTH * (chunks + _LISTS), 1


def prepare(ints: Any, sizes: Any) -> None:
    """Empty lists; every chunk is nowhere, with a count of 0."""
    for seam in range(_LISTS):
        node = WIDTH * seam
        ints[node + NEWER] = ints[node + OLDER] = node
        ints[node + MARK] = ints[node + SIZE] = 0
    for chunk in range(len(sizes)):
        ints[WIDTH * (chunk + _LISTS) + MARK] = NOWHERE
        ints[WIDTH * (chunk + _LISTS) + SIZE] = sizes[chunk]


def node_of(chunk: int) -> int:
    """A chunk's node."""
    return WIDTH * (chunk + _LISTS)


def chunk_of(node: int) -> int:
    """A node's chunk; negative for a seam."""
    return (node >> _SHIFT) - _LISTS


def where(ints: Any, chunk: int) -> int:
    """The list that a chunk is in."""
    return int(ints[node_of(chunk) + MARK] & NOWHERE)


def count_of(ints: Any, chunk: int) -> int:
    """The policy's count for a chunk."""
    return int(ints[node_of(chunk) + MARK] >> _BITS)


def size_of(ints: Any, which: int) -> int:
    """Bytes in a list."""
    return int(ints[WIDTH * which + SIZE])


def push(ints: Any, which: int, chunk: int, count: int) -> None:
    """Append a chunk, which must be nowhere, at the new end."""
    seam, node = WIDTH * which, node_of(chunk)
    newest = ints[seam + OLDER]
    ints[node + NEWER] = seam
    ints[node + OLDER] = newest
    ints[node + MARK] = which + (count << _BITS)
    ints[newest + NEWER] = node
    ints[seam + OLDER] = node
    ints[seam + SIZE] += ints[node + SIZE]


def take(ints: Any, chunk: int) -> None:
    """Take a chunk out of the list that it is in; its count is 0 again."""
    node = node_of(chunk)
    newer, older = ints[node + NEWER], ints[node + OLDER]
    ints[older + NEWER] = newer
    ints[newer + OLDER] = older
    ints[WIDTH * (ints[node + MARK] & NOWHERE) + SIZE] -= ints[node + SIZE]
    ints[node + MARK] = NOWHERE


def recall(ints: Any, chunk: int) -> int:
    """Take a ghost out and note where it was, until it is pushed: it comes back. Returns that list, -1 for none."""
    node = node_of(chunk)
    which = ints[node + MARK] & NOWHERE
    if which == NOWHERE:
        return int(ints[node + MARK] >> _BITS) - 1
    take(ints, chunk)
    ints[node + MARK] = NOWHERE + ((which + 1) << _BITS)
    return int(which)


def bounded(ints: Any, ghosts: int, chunk: int, count: int, limit: int) -> None:
    """Append a chunk, which must be nowhere, to a list of ghosts; the oldest go, that they be at most `limit` bytes."""
    size = ints[node_of(chunk) + SIZE]
    if size <= limit:
        while size_of(ints, ghosts) + size > limit:
            take(ints, oldest(ints, ghosts))
        push(ints, ghosts, chunk, count)


def move(ints: Any, which: int, chunk: int, count: int) -> None:
    """From wherever it is to the new end of a list."""
    take(ints, chunk)
    push(ints, which, chunk, count)


def oldest(ints: Any, which: int) -> int:
    """The oldest chunk of a list; negative if it is empty."""
    return chunk_of(ints[WIDTH * which + NEWER])


def oldest_free(ints: Any, which: int, pinned: Any) -> int:
    """The oldest chunk of a list that is not pinned; -1 if there is none."""
    return free_from(ints, ints[WIDTH * which + NEWER], pinned)


def free_from(ints: Any, node: int, pinned: Any) -> int:
    """The first chunk from a node towards the new end that is not pinned; -1 if there is none."""
    while node >= FIRST:
        chunk = chunk_of(node)
        if pinned[chunk] == 0:
            return chunk
        node = ints[node + NEWER]
    return -1


def unused(ints: Any, which: int, pinned: Any, most: int) -> int:
    """The oldest chunk of a list with a count of 0; those before it go to the new end with a count of one less.

    What they had above `most` counts for nothing.
    """
    node = ints[WIDTH * which + NEWER]
    while node >= FIRST:
        chunk = chunk_of(node)
        newer = ints[node + NEWER]
        if pinned[chunk] == 0:
            count = count_of(ints, chunk)
            if count == 0:
                return chunk
            move(ints, which, chunk, min(count, most) - 1)
            newer = newer if newer >= FIRST else node
        node = newer
    return -1


def remember(ints: Any, which: int, chunk: int, ghosts: int, limit: int, leaving: int) -> None:
    """Take a chunk out; if it is the victim, as register `leaving` says, and of list `which`, a ghost stays."""
    sifted = where(ints, chunk) == which and ints[leaving] == chunk
    take(ints, chunk)
    if sifted:
        bounded(ints, ghosts, chunk, 0, limit)
    ints[leaving] = -1
