"""Which files go first into the blob, and which the bootstrap lists to be read ahead.

Source: nydus ``builder/src/core/prefetch.rs``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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
    listed, count = _listed(paths)
    found: list[Node | None] = [None] * count
    ahead: list[list[Node]] = [[] for _ in range(count)]
    others: list[Node] = []
    # Directories with what of the list may be in them, and the entry that they are below or are.
    folders: list[tuple[Node, _Listed | None, int]] = [(root, listed, listed.entry)]
    if listed.entry >= 0:
        found[listed.entry] = root
    while folders:
        folder, inside, entry = folders.pop()
        below = []
        for node in folder.children:
            here = inside.below.get(node.name) if inside else None
            exact = here is not None and here.entry >= 0
            match = here.entry if here is not None and exact else entry
            if node.is_dir:
                below.append((node, here, match))
            if exact and not (node.is_reg and node.size == 0):
                found[match] = node
            if node.is_reg and node.size > 0:
                (ahead[match] if match >= 0 else others).append(node)
        folders.extend(reversed(below))
    first = [node for nodes in ahead for node in nodes]
    return Prefetch(first + others, len(first), [node for node in found if node is not None])


@dataclass
class _Listed:
    """The list as a tree: which entry this path is, -1 for none, and what is below."""

    entry: int = -1
    below: dict[bytes, _Listed] = field(default_factory=dict)


def _listed(paths: Iterable[str]) -> tuple[_Listed, int]:
    top, count = _Listed(), 0
    for path in paths:
        if not path.startswith("/"):
            raise ConfigError("a path to be read ahead is not absolute", path=path)
        at, covered = top, top.entry >= 0
        for part in path.encode("utf-8", "surrogateescape").split(b"/"):
            if part not in (b"", b"."):
                at = at.below.setdefault(part, _Listed())
                covered |= at.entry >= 0
        if not covered:
            at.entry = count
            count += 1
    return top, count
