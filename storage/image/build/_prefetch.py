"""Which files go first into the blob, and which the bootstrap lists to be read ahead.

Source: nydus ``builder/src/core/prefetch.rs``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from storage.errors import ConfigError
from storage.image.build._node import Node

__all__ = ["Prefetch", "arrange"]


class Prefetch(NamedTuple):
    """Regular files in the order in which their chunks are written.

    Attributes
    ----------
    files
        All that have content.
    first
        How many of them come first since they are to be read ahead.
    listed
        Nodes that were named and are there, in the order of the list.
    """

    files: list[Node]
    first: int
    listed: list[Node]


def arrange(root: Node, paths: Iterable[str] = ()) -> Prefetch:
    """Put the files of a prefetch list first.

    Parameters
    ----------
    paths
        Absolute paths within the tree, of files or directories. What is below an earlier one is
        left out, as is what the tree does not have; empty files are never listed.

    Raises
    ------
    ConfigError
        If a path is not absolute.
    """
    patterns = _patterns(paths)
    found: list[Node | None] = [None] * len(patterns)
    ahead: list[list[Node]] = [[] for _ in patterns]
    others: list[Node] = []
    for node, path in _with_paths(root):
        if node.is_reg and node.size == 0:
            continue
        match = next((p for p in (path[:end] for end in range(len(path), -1, -1)) if p in patterns), None)
        if match is not None and match == path:
            found[patterns[match]] = node
        if node.is_reg:
            (others if match is None else ahead[patterns[match]]).append(node)
    first = [node for nodes in ahead for node in nodes]
    return Prefetch(first + others, len(first), [node for node in found if node is not None])


def _patterns(paths: Iterable[str]) -> dict[tuple[bytes, ...], int]:
    patterns: dict[tuple[bytes, ...], int] = {}
    for path in paths:
        if not path.startswith("/"):
            raise ConfigError("a path to be read ahead is not absolute", path=path)
        parts = tuple(part for part in path.encode("utf-8", "surrogateescape").split(b"/") if part not in (b"", b"."))
        if not any(parts[:end] in patterns for end in range(len(parts) + 1)):
            patterns[parts] = len(patterns)
    return patterns


def _with_paths(root: Node) -> Iterable[tuple[Node, tuple[bytes, ...]]]:
    """All nodes with their paths, in the order of `walk`, the root first."""
    yield root, ()
    folders: list[tuple[Node, tuple[bytes, ...]]] = [(root, ())]
    while folders:
        folder, path = folders.pop()
        below = [(child, (*path, child.name)) for child in folder.children]
        yield from below
        folders.extend((child, inside) for child, inside in reversed(below) if child.is_dir)
