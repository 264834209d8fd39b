"""Compacted and optimized images: the same tree from other blobs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ConfigError, UnsupportedError
from storage.image import BlobFeatures, locate, open_image
from storage.image.build import build
from storage.image.verbs import (
    FileRanges,
    Rebuilt,
    check,
    compact,
    merge,
    optimize,
    parse_prefetch_files,
    statistics,
    unpack,
)

KINDS = {
    "plain": {},
    "batch": {"batch_size": 64 << 10},
    "encrypted": {"encrypt": True},
    "none": {"compressor": "none"},
    "v5": {"version": 5, "compressor": "lz4_block"},
    "v5 aligned": {"version": 5, "compressor": "zstd", "digester": "sha256", "aligned_chunk": True},
}


def tar_of(bootstrap: Path) -> bytes:
    """All that an image shows."""
    out = io.BytesIO()
    unpack(open_image(bootstrap), locate(bootstrap).blobs, out)
    return out.getvalue()


@pytest.fixture(scope="module", params=KINDS)
def wasteful(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of two layers, whose upper one hides half of the lower."""
    root = tmp_path_factory.mktemp("wasteful")
    rng = np.random.default_rng(3)
    for name in ("low", "high"):
        (root / name / "d").mkdir(parents=True)
    for number in range(20):
        (root / "low" / "d" / f"{number:02}").write_bytes(rng.bytes(3000) * 5)
    (root / "low" / "large").write_bytes(rng.bytes(300_000))
    for number in range(0, 20, 2):
        (root / "high" / "d" / f".wh.{number:02}").touch()
    (root / "high" / "d" / "new").write_bytes((root / "low" / "d" / "01").read_bytes() + b"!")
    for name in ("low", "high"):
        build(root / name, root / "image" / name, chunk_size=64 << 10, **KINDS[request.param])  # type: ignore[arg-type]
        (root / "image" / "blobs").mkdir(exist_ok=True)
        for blob in (root / "image" / name / "blobs").iterdir():
            blob.rename(root / "image" / "blobs" / blob.name)
    merge([root / "image" / name / "bootstrap" for name in ("low", "high")], root / "image" / "bootstrap")
    return root / "image"


def sound(made: Rebuilt) -> None:
    """Nothing is wrong with what was made, every chunk of it included."""
    report = check(made.bootstrap, deep=True)
    assert report.ok, report.problems
    assert report.verified == statistics(open_image(made.bootstrap)).own_chunks


def test_compact(wasteful: Path, tmp_path: Path) -> None:
    """The compacted image shows the same tree from fewer bytes, and has no chunk that no file uses."""
    made = compact(wasteful, tmp_path / "compact")
    sound(made)
    assert tar_of(made.bootstrap) == tar_of(wasteful / "bootstrap")
    assert made.bytes_after < made.bytes_before
    image = open_image(made.bootstrap)
    assert set(image.extents.chunk.tolist()) == set(range(len(image.chunks)))


def test_compact_again(wasteful: Path, tmp_path: Path) -> None:
    """Nothing is left to be done after a compaction."""
    once = compact(wasteful, tmp_path / "once")
    again = compact(once.bootstrap, tmp_path / "again")
    assert again.blob is None
    assert sorted(again.blobs) == sorted(once.blobs)
    assert tar_of(again.bootstrap) == tar_of(wasteful / "bootstrap")


def test_compact_only_what_is_little_used(wasteful: Path, tmp_path: Path) -> None:
    """With no share demanded every blob stays; what is no share is refused."""
    made = compact(wasteful, tmp_path / "kept", min_used=0.0)
    assert (made.moved, made.bytes_before) == (0, made.bytes_after)
    assert tar_of(made.bootstrap) == tar_of(wasteful / "bootstrap")
    with pytest.raises(ConfigError, match="share"):
        compact(wasteful, tmp_path / "none", min_used=1.5)


def test_optimize(wasteful: Path, tmp_path: Path) -> None:
    """Named files, and named ranges' chunks, come from the prefetch blob, in the list's order; all is readable."""
    files = [FileRanges("/d/new"), FileRanges("/large", ((70_000, 10),)), FileRanges("/none"), FileRanges("/d")]
    made = optimize(wasteful, tmp_path / "optimized", files)
    sound(made)
    assert tar_of(made.bootstrap) == tar_of(wasteful / "bootstrap")
    image = open_image(made.bootstrap)
    info = image.infos[-1]
    assert made.blob is not None
    assert info.blob_id == made.blob.name
    assert info.has_feature(BlobFeatures.IS_SEPARATED_WITH_PREFETCH_FILES)
    blob_of = {
        path: image.chunks.blob[image.segments(image.lookup(path), 0, 1 << 20)[0]].tolist()
        for path in ("/d/new", "/large", "/d/03")
    }
    assert set(blob_of["/d/new"]) == {info.blob_index}
    assert [blob == info.blob_index for blob in blob_of["/large"]] == [False, True, False, False, False]
    assert info.blob_index not in blob_of["/d/03"]


@given(data=st.data())
@settings(max_examples=15)
def test_any_list(data: st.DataObject, image_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever files and ranges are named, the image shows the same."""
    paths = [path.decode() for path in open_image(image_dir).paths()[0]]
    ranges = st.lists(st.tuples(st.integers(0, 1 << 22), st.integers(0, 1 << 22)), max_size=3).map(tuple)
    files = st.lists(st.builds(FileRanges, st.sampled_from(paths), st.none() | ranges), max_size=5)
    made = optimize(image_dir, tmp_path_factory.mktemp("any"), data.draw(files))
    sound(made)
    assert tar_of(made.bootstrap) == tar_of(image_dir / "bootstrap")


def test_parse() -> None:
    """The reference's JSON: whole files, and ranges."""
    text = json.dumps({"version": "v1", "files": [{"path": "/a"}, {"path": "/b", "ranges": [[0, 5], [7, 1]]}]})
    assert parse_prefetch_files(text) == [FileRanges("/a"), FileRanges("/b", ((0, 5), (7, 1)))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": "v1"}',
        '{"version": "v1", "files": [{"path": "a"}]}',
        '{"version": "v1", "files": [{"path": "/a", "ranges": [[1]]}]}',
        '{"version": "v1", "files": [{"path": "/a", "ranges": [[-1, 4]]}]}',
        '{"version": "v1", "files": [3]}',
        "[" * 100_000,
    ],
)
def test_parse_refuses(text: str) -> None:
    """What is no such list is refused."""
    with pytest.raises(ConfigError):
        parse_prefetch_files(text)


def test_parse_refuses_versions() -> None:
    """Another version is refused by name."""
    with pytest.raises(UnsupportedError, match="v2"):
        parse_prefetch_files('{"version": "v2", "files": []}')
