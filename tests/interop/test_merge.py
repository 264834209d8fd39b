"""Layers that the reference merged, merged by us: the same bytes, and the tree that must come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.image import Image, open_bootstrap, open_image
from storage.image.build import image_tree
from storage.image.verbs import build_on, check, merge


def layers_of(variant: Any) -> list[Path]:
    """The bootstraps that the reference was given, in its order."""
    command = variant.ref["commands"][-1]
    return [variant.folder / word for word in command if word.endswith(".boot") and word != "merged.boot"] + [
        variant.folder / word for word in command if word.startswith("boots/")
    ]


def shown(image: Image) -> set[bytes]:
    """All paths."""
    return set(image.paths()[0])


@pytest.mark.claim("rebuilt")
def test_same_bytes(merged: Any, tmp_path: Path) -> None:
    """Our merge of the same layers is the reference's, byte for byte."""
    prefetch = ["/"] if "--prefetch-policy" in merged.ref["commands"][-1] else []
    made = merge(layers_of(merged), tmp_path / "merged.boot", prefetch=prefetch)
    its = (merged.folder / "merged.boot").read_bytes()
    print(f"{merged.name:32} {len(its):7,} bytes, {made.files} files in {len(made.blobs)} blobs")
    assert made.bootstrap.read_bytes() == its


def test_shows_the_tree(merged: Any, tmp_path: Path) -> None:
    """The merged image has exactly the files of the merged tree, and every chunk is there."""
    made = merge(layers_of(merged), tmp_path / "merged.boot")
    assert shown(open_bootstrap(made.bootstrap).image()) == set(merged.tree())
    report = check(made.bootstrap, merged.folder / "blobs", deep=True)
    assert report.ok, report.problems


def test_in_two_steps(merged: Any, tmp_path: Path) -> None:
    """Whiteouts that are kept are there for a later merge: (a, (b, c)) shows what (a, b, c) does."""
    low, high = layers_of(merged)
    upper = merge([high, high], tmp_path / "upper.boot", keep_whiteouts=True).bootstrap
    assert any(b"/.wh." in path for path in shown(open_bootstrap(upper).image()))
    both = merge([upper], tmp_path / "both.boot", parent=low).bootstrap
    assert shown(open_bootstrap(both).image()) == set(merged.tree())


@pytest.mark.claim("rebuilt", variant="layers-v6-parent-bootstrap")
def test_on_a_parent(refs: Path, variants_by_name: dict[str, Any], tmp_path: Path) -> None:
    """The upper layer, built on the lower one's bootstrap: blob and bootstrap byte for byte the reference's."""
    names = ("layers-v6-merge-none", "layers-v6-parent-bootstrap")
    if not set(names) <= set(variants_by_name):
        pytest.skip(f"no {' and '.join(names)} in {refs}")
    layers, its = (variants_by_name[name] for name in names)
    upper = layers_of(layers)[-1]
    tree = image_tree(open_image(upper, layers.folder / "blobs"), layers.folder / "blobs")
    built, both = build_on(tree, its.folder / "parent.boot", tmp_path)
    assert built.blob is not None
    assert built.blob.read_bytes() == (its.folder / "blobs" / built.blob.name).read_bytes()
    assert both.bootstrap.read_bytes() == (its.folder / "merged.boot").read_bytes()
    print(f"{its.name:32} {both.files} files in {len(both.blobs)} blobs, built on a parent")
