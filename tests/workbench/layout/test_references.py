"""Tables about the reference's images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from storage.image import open_image
from workbench import layout, view

REFS = Path(os.environ.get("NYDUS_REFS", Path(__file__).parents[4] / "shared" / "refs" / "alpha"))


@pytest.mark.skipif(not REFS.is_dir(), reason="no reference images: NYDUS_REFS names no folder")
@pytest.mark.parametrize(
    "variant",
    ["v5-lz4", "v5-lz4-inline", "v6-none", "v6-lz4", "v6-zstd", "v6-zstd-chunk4k", "v6-zstd-chunk64k"],
)
def test_every_byte_is_somewhere(variant: str) -> None:
    """Files and bytes by directory, and by extension, sum to those of the tree; chunks are laid end to end in them."""
    if not (REFS / variant).is_dir():
        pytest.skip(f"no {variant} among the reference images")
    tree = json.loads((REFS / "tree.json").read_text())
    sizes = {entry["ino"]: entry["size"] for entry in tree if entry["type"] == "reg" and entry["size"]}
    image = open_image(REFS / variant)
    for frame in (layout.directories(image), layout.extensions(image)):
        assert frame["files"].sum() == len(sizes)
        assert frame["bytes"].sum() == sum(sizes.values())
    pieces = layout.where(image).groupby("path")
    assert (pieces["offset"].max() + pieces["length"].last() == pieces["length"].sum()).all()
    assert set(pieces.groups) <= {entry["path"].lstrip("/") for entry in tree if entry["type"] == "reg"}


@pytest.mark.skipif(not REFS.is_dir(), reason="no reference images: NYDUS_REFS names no folder")
@pytest.mark.parametrize("variant", ["v5-lz4", "v5-lz4-inline", "layers-v5-merge-none"])
def test_pictures_of_v5(variant: str) -> None:
    """The map of the blob and the table of an image are drawn of v5, too, over all of its bytes."""
    if not (REFS / variant).is_dir():
        pytest.skip(f"no {variant} among the reference images")
    image = open_image(REFS / variant)
    title = view.blob_map(image).axes[0].get_title(loc="left")
    assert f"{len(image.chunks):,} chunks" in title
    assert "<th>RAFS version</th><td>5</td>" in image._repr_html_()
