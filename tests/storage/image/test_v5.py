"""What is v5's own: an image without an extended blob table, files read ahead, chunks that share blocks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ConfigError, FormatError
from storage.factory import open_store
from storage.image import BlobFeatures, Image, check_inode_digests, open_bootstrap, open_image
from storage.image.build import build, directory_tree
from storage.image.build._prefetch import arrange
from storage.image.v5 import Amplifier
from storage.image.v5._ondisk import SUPER_BLOCK

CHUNK_SIZE = 4096


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of odd sizes, some alike, one of two names."""
    root = tmp_path_factory.mktemp("tree")
    for name, size in {"a/one": 5000, "a/two": 1, "b/three": 20_001, "b/four": 0, "c": 4097}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(os.urandom(size))
    (root / "b" / "again").write_bytes((root / "a" / "one").read_bytes())
    (root / "z").hardlink_to(root / "b" / "three")
    return root


def built(source: Path, out: Path, **options: object) -> Image:
    """The image of it."""
    build(source, out, version=5, chunk_size=CHUNK_SIZE, **options)  # type: ignore[arg-type]
    return open_image(out)


def contents(source: Path, image: Path, cache: Path, **options: object) -> None:
    """Each file, read through the store, is what it was."""
    with open_store(image, cache_dir=cache, **options) as rafs:  # type: ignore[arg-type]
        for file in source.rglob("*"):
            if file.is_file():
                assert rafs.read(f"/{file.relative_to(source)}") == file.read_bytes()


@pytest.mark.parametrize("aligned", [False, True])
def test_places_of_chunks(aligned: bool, source: Path, tmp_path: Path) -> None:
    """Chunks follow each other in the uncompressed blob, or begin at multiples of 4096."""
    chunks = built(source, tmp_path / "image", aligned_chunk=aligned).chunks
    ends = chunks.uncompressed_offset + chunks.uncompressed_size
    expected = -(-ends // 4096) * 4096 if aligned else ends
    assert chunks.uncompressed_offset[1:].tolist() == expected[:-1].tolist()
    contents(source, tmp_path / "image", tmp_path / "cache")


def test_without_extended_blob_table(source: Path, tmp_path: Path) -> None:
    """An image that tells neither counts nor sizes of its blobs: chunks are numbered by place, and all is read."""
    whole = built(source, tmp_path / "image")
    bootstrap = tmp_path / "image" / "bootstrap"
    content = bytearray(bootstrap.read_bytes())
    np.frombuffer(content, SUPER_BLOCK, 1)["ext_blob_table_entries"] = 0
    bootstrap.write_bytes(content)
    image = open_image(tmp_path / "image")
    assert image.infos[0].features == BlobFeatures.V5_NO_EXT_BLOB_TABLE
    for column in ("index", "compressed_offset", "uncompressed_offset", "digest"):
        assert (getattr(image.chunks, column) == getattr(whole.chunks, column)).all()
    assert image.blobs.uncompressed_size.tolist() == whole.blobs.uncompressed_size.tolist()
    contents(source, tmp_path / "image", tmp_path / "cache")


def test_one_file_of_two_names(source: Path, tmp_path: Path) -> None:
    """Two names are one inode with two links; the digests hold."""
    image = built(source, tmp_path)
    assert image.lookup("/b/three") == image.lookup("/z")
    assert image.stat(image.lookup("/z")).st_nlink == 2
    assert check_inode_digests(open_bootstrap(tmp_path)) == len(image.inodes)


def test_evicted_chunks_leave_their_neighbours(source: Path, tmp_path: Path) -> None:
    """Chunks that share blocks of the cache file: what makes room takes nothing of them along."""
    from storage.testing.lru import plain_lru

    built(source, tmp_path / "image")
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache", capacity=9000, policy=plain_lru()) as rafs:
        for name in ("a/one", "b/three", "a/two", "c", "b/three", "a/one", "c", "a/two"):
            assert rafs.read(f"/{name}") == (source / name).read_bytes()


def test_prefetch_order(source: Path) -> None:
    """Listed files come first, in the list's order; what is below an earlier path, or not there, is passed over."""
    tree = directory_tree(source)
    order = arrange(tree, ["/b", "/nowhere", "/a/two", "/b/three", "/c/", "/b/four"])
    assert [node.name for node in order.listed] == [b"b", b"two", b"c"]
    assert [node.name for node in order.files] == [b"again", b"three", b"two", b"c", b"z", b"one"]
    assert order.first == 4
    assert arrange(tree, ["/b/three", "/"]).listed[1] is tree
    with pytest.raises(ConfigError, match="not absolute"):
        arrange(tree, ["b"])


def test_prefetch_policies(source: Path, tmp_path: Path) -> None:
    """``fs`` lists inodes, ``blob`` the length of what comes first, ``none`` neither."""
    for policy in ("fs", "blob", "none"):
        image = built(source, tmp_path / policy, compressor="none", prefetch=["/a/one"], prefetch_policy=policy)
        listed = [image.path_of(int(row)) for row in image.prefetch]
        assert listed == (["/a/one"] if policy == "fs" else [])
        assert image.infos[0].prefetch_size == (5000 if policy == "blob" else 0)
        first = image.segments(image.lookup("/a/one"), 0, 1)[0][0]
        assert (first == 0) == (policy != "none")


@pytest.mark.parametrize("options", [{"inline": True}, {"aligned_chunk": True}, {"prefetch_policy": "fs"}])
def test_options_of_v5(options: dict[str, object], source: Path, tmp_path: Path) -> None:
    """What only v5 has is refused of v6, and a version that there is not of all."""
    for version in (6, 4):
        with pytest.raises(ConfigError):
            build(source, tmp_path, version=version, **options)  # type: ignore[arg-type]


@given(row=st.integers(0, 10), offset=st.integers(0, 25_000), length=st.integers(1, 30_000))
def test_what_is_read_along(row: int, offset: int, length: int, along: tuple[Image, Amplifier]) -> None:
    """It lies behind the read in the blob without going back, is none of the read's, and fits the window."""
    image, amplifier = along
    if not image.inodes.extents[row % len(image.inodes)]:
        return
    row %= len(image.inodes)
    rows, _, _ = image.segments(row, offset, length)
    if not rows:
        return
    found = amplifier.along(row, offset, length, rows[-1])
    start, size = image.chunks.compressed_offset, image.chunks.uncompressed_size
    assert (np.diff(start[[rows[-1], *found]]) > 0).all()
    assert not set(found) & set(rows)
    assert int(size[found].sum()) <= 16_384
    assert length < 16_384 or not found


@pytest.fixture(scope="module")
def along(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, Amplifier]:
    """An image, and what is read along within 16 KiB."""
    image = built(source, tmp_path_factory.mktemp("image"))
    return image, Amplifier(image, 16_384)


def test_two_tellings_of_a_chunk(source: Path, tmp_path: Path) -> None:
    """Two files that tell the same chunk differently are refused."""
    built(source, tmp_path)
    content = (tmp_path / "bootstrap").read_bytes()
    bootstrap = open_bootstrap(content)
    image = bootstrap.image()
    shared = image.segments(image.lookup("/b/again"), 0, 1)[0][0]
    digest = bytes(image.chunks.digest[shared])
    assert content.count(digest) == 2
    at = content.rindex(digest)
    with pytest.raises(FormatError, match="two files tell"):
        open_bootstrap(content[:at] + bytes(32) + content[at + 32 :])
