"""What the reference says of its images, and what we say: equal, one row a variant."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from storage.errors import UnsupportedError
from storage.image import Image, locate, open_image
from storage.image.verbs import check, inspect_blobs, inspect_prefetch, statistics, unpack
from tests.interop.trees import compare_tar


@pytest.fixture
def opened(variant: Any) -> Image:
    """The image, where it can be read."""
    try:
        return open_image(variant.folder)
    except UnsupportedError as refusal:
        pytest.skip(f"refused by name: {refusal.message}")


def last_line(output: str) -> Any:
    """The JSON of a command that logs before it."""
    return json.loads(output.splitlines()[-1])


def named(entries: list[dict[str, Any]]) -> list[tuple[int, list[str]]]:
    """A prefetch table without the slash that the reference puts behind folders, and in v5 behind files too."""
    return [(entry["inode"], [path.rstrip("/") for path in entry["path"]]) for entry in entries]


@pytest.mark.claim("check, stat, inspect")
def test_same_as_the_reference_says(variant: Any, opened: Image) -> None:
    """Check, with every chunk, stat and inspect: each number of the reference's."""
    report = check(variant.folder, deep=True)
    assert report.problems == ()
    assert opened.chunks.has_digest[opened.extents.chunk].all()
    assert report.verified == opened.chunks.has_digest.sum()  # of others too, where blobs have their own digests
    row = [f"{variant.name:32}", f"{report.files:4} files, {report.verified:5} chunks verified"]
    if variant.ref.get("check"):
        said = {"blobs": list(report.blobs), "fs_version": str(report.version), "compressor": report.compressor}
        assert variant.ref["check"] | said == variant.ref["check"]
        row.append("check =")
    if variant.ref.get("stat"):
        said = statistics(opened).to_dict()
        assert said == {key: variant.ref["stat"]["base_image"][key] for key in said}
        row.append("stat =")
    if variant.ref.get("inspect_blobs"):
        assert inspect_blobs(opened) == last_line(variant.ref["inspect_blobs"])
        assert named(inspect_prefetch(opened)) == named(last_line(variant.ref["inspect_prefetch"]))
        row.append("inspect =")
    print("  ".join(row))


@pytest.mark.claim("unpack")
def test_unpacks_to_the_tree(variant: Any, opened: Image) -> None:
    """The tar of each image holds each file of the tree: kind, owner, time, bytes."""
    out = io.BytesIO()
    done = unpack(opened, locate(variant.folder).blobs, out)
    compare_tar(out, variant)
    print(f"{variant.name:32}  {done.files:4} members, {done.bytes:10,} bytes")
