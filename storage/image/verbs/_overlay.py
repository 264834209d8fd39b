"""Laying one tree over another, by the rules of OCI layers or of overlayfs.

Source: OCI image-spec ``layer.md``; Linux ``Documentation/filesystems/overlayfs.rst``; nydus
``builder/src/core/{overlay,tree}.rs``.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import NamedTuple

from storage.errors import ConfigError
from storage.image.build import Node

__all__ = ["WHITEOUT_SPECS", "overlay"]

WHITEOUT_SPECS = ("oci", "overlayfs", "none")
_PREFIX, _OPAQUE = b".wh.", b".wh..wh..opq"
_OPAQUE_PAIR = ("trusted.overlay.opaque", b"y")


def overlay(lower: Node, upper: Node, whiteouts: str = "oci", keep: bool = False) -> Node:
    """The tree that shows when `upper` is laid over `lower`.

    Parameters
    ----------
    lower, upper
        Root directories; the new tree shares their nodes.
    whiteouts
        What in `upper` says that something of `lower` is gone: ``oci`` files (``.wh.name``,
        ``.wh..wh..opq``), ``overlayfs`` devices and attributes, or ``none``.
    keep
        Whether whiteouts stay in the tree, since it will be laid over yet another one.

    Raises
    ------
    ConfigError
        If `whiteouts` is none of these.
    """
    if whiteouts not in WHITEOUT_SPECS:
        raise ConfigError(f"no whiteouts are called {whiteouts!r}; there are {', '.join(WHITEOUT_SPECS)}")
    root = _folder(upper, whiteouts, keep)
    pairs: list[tuple[Node, Node | None, Node]] = [(root, lower, upper)]
    while pairs:
        pairs.extend(_lay(*pairs.pop(), whiteouts, keep))
    return root


def _lay(
    merged: Node, lower: Node | None, upper: Node, whiteouts: str, keep: bool
) -> list[tuple[Node, Node | None, Node]]:
    """Fill one directory; returns those below that are still to be filled."""
    found = _sorted_out(upper, whiteouts)
    if keep and lower is not None and _OPAQUE_PAIR in lower.xattrs and whiteouts == "overlayfs":
        merged.xattrs = _with_opaque(merged)
    below = {} if found.opaque or lower is None else {child.name: child for child in lower.children}
    for name in found.gone:
        below.pop(name, None)
    deeper: list[tuple[Node, Node | None, Node]] = []
    for child in [*found.shown, *(found.markers if keep else ())]:
        beneath = below.pop(child.name, None)
        if child.is_dir:
            folder = _folder(child, whiteouts, keep)
            if keep and beneath is not None and not beneath.is_dir:
                _make_opaque(folder, child, whiteouts)
            deeper.append((folder, beneath if beneath is not None and beneath.is_dir else None, child))
            child = folder
        merged.children.append(child)
    merged.children += below.values()
    merged.children.sort(key=lambda child: child.name)
    return deeper


class _Sorted(NamedTuple):
    """Children of a directory by what they are for."""

    shown: list[Node]
    markers: list[Node]
    gone: list[bytes]
    opaque: bool


def _sorted_out(folder: Node, whiteouts: str) -> _Sorted:
    if whiteouts == "none":
        return _Sorted(folder.children, [], [], False)
    if whiteouts == "overlayfs":
        markers = [child for child in folder.children if stat.S_ISCHR(child.mode) and child.rdev == 0]
        gone = [child.name for child in markers]
        shown = [child for child in folder.children if not (stat.S_ISCHR(child.mode) and child.rdev == 0)]
        return _Sorted(shown, markers, gone, _OPAQUE_PAIR in folder.xattrs)
    markers = [child for child in folder.children if child.name.startswith(_PREFIX)]
    gone = [child.name[len(_PREFIX) :] for child in markers]
    shown = [child for child in folder.children if not child.name.startswith(_PREFIX)]
    return _Sorted(shown, markers, gone, any(child.name == _OPAQUE for child in markers))


def _folder(node: Node, whiteouts: str, keep: bool) -> Node:
    """A directory like this one, still empty."""
    xattrs = node.xattrs
    if whiteouts == "overlayfs" and not keep:
        xattrs = tuple(pair for pair in xattrs if pair != _OPAQUE_PAIR)
    return replace(node, children=[], xattrs=xattrs)


def _make_opaque(folder: Node, upper: Node, whiteouts: str) -> None:
    """Say that what was no directory in a lower layer hides what is a directory further down."""
    if whiteouts == "overlayfs":
        folder.xattrs = _with_opaque(folder)
    elif whiteouts == "oci" and all(child.name != _OPAQUE for child in upper.children):
        path = f"{folder.path}/{_OPAQUE.decode()}"
        folder.children.append(Node(name=_OPAQUE, path=path, mode=stat.S_IFREG | 0o644))


def _with_opaque(folder: Node) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted({*folder.xattrs, _OPAQUE_PAIR}))
