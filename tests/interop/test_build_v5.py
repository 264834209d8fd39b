"""The tree of a reference image, built again by us as v5 with its options: the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.image import open_image
from storage.image.build import build, image_tree

SOURCES = ("v5-lz4", "v6-none")
OPTIONS: dict[str, dict[str, Any]] = {
    "v5-lz4": {"compressor": "lz4_block"},
    "v5-zstd-sha256": {"compressor": "zstd", "digester": "sha256"},
    "v5-lz4-inline": {"compressor": "lz4_block", "inline": True},
    "v5-lz4-prefetch": {"compressor": "lz4_block", "prefetch_policy": "fs"},
}


@pytest.mark.claim("rebuilt")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", OPTIONS)
def test_same_bytes(name: str, source: str, refs: Path, tmp_path: Path) -> None:
    """Out of v5-lz4, and out of v6-none, comes each v5 image of the same tree: blob and bootstrap, byte for byte."""
    for needed in (source, name):
        if not (refs / needed).is_dir():
            pytest.skip(f"no {needed} in {refs}")
    listed = json.loads((refs / name / "ref.json").read_text())["prefetch_input"]
    tree = image_tree(open_image(refs / source), refs / source / "blobs")
    prefetch = listed.splitlines() if listed else ()
    built = build(tree, tmp_path, version=5, prefetch=prefetch, **OPTIONS[name])
    assert built.blob is not None
    (blob,) = (refs / name / "blobs").iterdir()
    assert built.blob.name == blob.name
    assert built.blob.read_bytes() == blob.read_bytes()
    if OPTIONS[name].get("inline"):
        assert built.bootstrap == built.blob
    else:
        assert built.bootstrap.read_bytes() == (refs / name / "bootstrap").read_bytes()
