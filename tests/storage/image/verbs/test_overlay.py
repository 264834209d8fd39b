"""Laying trees over each other: examples from the OCI specification, and the laws."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ConfigError, FormatError
from storage.image.build import Node, build
from storage.image.verbs import merge, overlay

Tree = dict[str, "Tree | str"]
OPAQUE = ".wh..wh..opq"


def node_of(tree: Tree | str, name: str = "", spec: str = "oci") -> Node:
    """A tree of words: dictionaries are directories, texts files; whiteouts in the way of `spec`."""
    if isinstance(tree, str):
        return Node(name=name.encode(), path=name, mode=stat.S_IFREG, target=tree.encode())
    node = Node(name=name.encode(), path=name, mode=stat.S_IFDIR)
    for child, below in sorted(tree.items()):
        if spec == "overlayfs" and child == OPAQUE:
            node.xattrs = (("trusted.overlay.opaque", b"y"),)
        elif spec == "overlayfs" and child.startswith(".wh."):
            # overlayfs has either the device or what takes its place, which is then opaque.
            if child[4:] not in tree:
                node.children.append(Node(name=child[4:].encode(), path=child, mode=stat.S_IFCHR))
        else:
            made = node_of(below, child, spec)
            if spec == "overlayfs" and made.is_dir and f".wh.{child}" in tree:
                made.xattrs = (("trusted.overlay.opaque", b"y"),)
            node.children.append(made)
    node.children.sort(key=lambda child: child.name)
    return node


def tree_of(node: Node) -> Tree | str:
    """The same backwards, without whiteouts' own form."""
    if not node.is_dir:
        return node.target.decode()
    return {child.name.decode(): tree_of(child) for child in node.children}


def laid(*trees: Tree) -> Tree | str:
    """Trees, the lowest first, one over another."""
    merged = node_of(trees[0])
    for tree in trees[1:]:
        merged = overlay(merged, node_of(tree))
    return tree_of(merged)


@pytest.mark.parametrize(
    ("lower", "upper", "shown"),
    [
        ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1", "b": "1"}, {".wh.a": ""}, {"b": "1"}),
        ({"a": {"x": "1"}}, {".wh.a": "", "a": {"y": "2"}}, {"a": {"y": "2"}}),
        ({"a": {"x": "1"}}, {"a": {OPAQUE: "", "y": "2"}}, {"a": {"y": "2"}}),
        ({"a": {"x": "1", "z": {"q": "1"}}}, {"a": {"y": "2", ".wh.x": ""}}, {"a": {"y": "2", "z": {"q": "1"}}}),
        ({"a": {"x": "1"}}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a": {"y": "2"}}, {"a": {"y": "2"}}),
        ({}, {"a": {".wh.b": "", OPAQUE: "", "c": "2"}, ".wh.never": ""}, {"a": {"c": "2"}}),
        ({"a": "1", "b": {"c": "1"}}, {OPAQUE: "", "d": "2"}, {"d": "2"}),
    ],
)
def test_examples(lower: Tree, upper: Tree, shown: Tree) -> None:
    """What the specification says of whiteouts, opaque directories and changes of kind, in both forms."""
    assert laid(lower, upper) == shown
    assert tree_of(overlay(node_of(lower), node_of(upper, spec="overlayfs"), "overlayfs")) == shown


def test_no_whiteouts() -> None:
    """Without whiteouts their files are files."""
    assert tree_of(overlay(node_of({"a": "1"}), node_of({".wh.a": ""}), "none")) == {"a": "1", ".wh.a": ""}


def test_unknown_whiteouts() -> None:
    """Another word is refused, with those that there are."""
    with pytest.raises(ConfigError, match="overlayfs"):
        overlay(node_of({}), node_of({}), "aufs")


def trees(whiteouts: bool) -> st.SearchStrategy[Tree]:
    """Small trees of few names, so that they meet."""
    plain = st.sampled_from(["a", "b", "c"])
    names = st.one_of(plain, st.sampled_from([".wh.a", ".wh.b", ".wh.c", OPAQUE])) if whiteouts else plain
    below = st.recursive(st.sampled_from(["1", "2"]), lambda inner: st.dictionaries(names, inner, max_size=4))
    kept = below.map(_tidy)
    return st.dictionaries(names, kept, max_size=4).map(_tidy)  # type: ignore[return-value]


def _tidy(tree: Tree | str) -> Tree | str:
    """Whiteouts are empty files."""
    if isinstance(tree, str):
        return tree
    return {name: "" if name.startswith(".wh.") else _tidy(below) for name, below in tree.items()}


@pytest.mark.parametrize("spec", ["oci", "overlayfs"])
@given(lower=trees(False), middle=trees(True), upper=trees(True))
def test_associative(spec: str, lower: Tree, middle: Tree, upper: Tree) -> None:
    """Layers may be merged in any grouping, if whiteouts are kept until the lowest is there."""
    one, two, three = node_of(lower), node_of(middle, spec=spec), node_of(upper, spec=spec)
    in_order = overlay(overlay(one, two, spec), three, spec)
    above = overlay(two, three, spec, keep=True)
    assert tree_of(overlay(one, above, spec)) == tree_of(in_order)


@given(lower=trees(False), upper=trees(True))
def test_shows_no_whiteouts(lower: Tree, upper: Tree) -> None:
    """Nothing of a whiteout is left over a tree that has none, and children stay sorted."""
    pending = [overlay(node_of(lower), node_of(upper))]
    while pending:
        node = pending.pop()
        names = [child.name for child in node.children]
        assert names == sorted(set(names))
        assert not any(name.startswith(b".wh.") for name in names)
        pending.extend(node.children)


def test_v5_has_one_compressor(tree: Path, tmp_path: Path) -> None:
    """Layers of v5 that are compressed differently are refused: its superblock names one compressor for all."""
    for compressor in ("zstd", "lz4_block"):
        build(tree, tmp_path / compressor, compressor=compressor, version=5)
    with pytest.raises(FormatError, match="other algorithms"):
        merge([tmp_path / "zstd" / "bootstrap", tmp_path / "lz4_block" / "bootstrap"], tmp_path / "merged")
