"""The tree of a reference image, built again by us with its options: the same bytes."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from storage.image import open_image
from storage.image.build import TarTree, build, build_layer, image_tree, open_tar

OPTIONS = {
    "v6-none": ("none", 1 << 20),
    "v6-lz4": ("lz4_block", 1 << 20),
    "v6-zstd": ("zstd", 1 << 20),
    "v6-zstd-chunk4k": ("zstd", 4096),
    "v6-zstd-chunk64k": ("zstd", 64 << 10),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_same_bytes(name: str, refs: Path, tmp_path: Path) -> None:
    """Out of v6-none comes any other image of the same tree: data blob and bootstrap, byte for byte."""
    for needed in ("v6-none", name):
        if not (refs / needed).is_dir():
            pytest.skip(f"no {needed} in {refs}")
    compressor, chunk_size = OPTIONS[name]
    tree = image_tree(open_image(refs / "v6-none"), refs / "v6-none" / "blobs")
    built = build(tree, tmp_path, compressor=compressor, chunk_size=chunk_size)
    assert built.blob is not None
    (blob,) = (refs / name / "blobs").iterdir()
    bootstrap = refs / name / "bootstrap"
    for ours, its in ((built.blob, blob), (built.bootstrap, bootstrap)):
        print(f"{name:18} {its.stat().st_size:9,} bytes: ours {digest(ours)}, its {digest(its)}")
    assert built.blob.name == blob.name
    assert built.blob.read_bytes() == blob.read_bytes()
    assert built.bootstrap.read_bytes() == bootstrap.read_bytes()


@pytest.fixture
def tar(refs: Path) -> Path:
    """The tar that the reference was given, compressed: a zran image keeps it."""
    found = sorted(refs.glob("v6-zran/blobs/*"), key=lambda path: path.stat().st_size)
    if not found:
        pytest.skip(f"no v6-zran in {refs}")
    return found[-1]


FROM_TARS = [("v6-tar-rafs", 6, "zstd"), ("v5-targz-rafs", 5, "lz4_block")]


@pytest.mark.parametrize(("name", "version", "compressor"), FROM_TARS)
def test_same_bytes_from_a_tar(name: str, version: int, compressor: str, tar: Path, refs: Path, tmp_path: Path) -> None:
    """A tar gives the reference's data blob and bootstrap."""
    if not (refs / name).is_dir():
        pytest.skip(f"no {name} in {refs}")
    with open_tar(tar) as stream:
        built = build(TarTree(stream), tmp_path, version=version, compressor=compressor)
    assert built.blob is not None
    assert built.blob.read_bytes() == (refs / name / "blobs" / built.blob.name).read_bytes()
    assert built.bootstrap.read_bytes() == (refs / name / "bootstrap").read_bytes()


def test_same_bytes_of_a_gzip_layer(tar: Path, refs: Path, tmp_path: Path) -> None:
    """A gzip layer by reference gives the reference's ``blob.meta`` and bootstrap."""
    built = build_layer(tar, tmp_path, conversion="targz-ref")
    theirs = {path.name: path.read_bytes() for path in (refs / "v6-zran" / "blobs").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "blobs").iterdir()} == theirs
    assert built.bootstrap.read_bytes() == (refs / "v6-zran" / "bootstrap").read_bytes()


def test_same_bytes_of_tarfs(tar: Path, refs: Path, tmp_path: Path) -> None:
    """A plain tar by reference gives the reference's bootstrap."""
    if not (refs / "v6-tarfs").is_dir():
        pytest.skip(f"no v6-tarfs in {refs}")
    (tmp_path / "tar").write_bytes(gzip.decompress(tar.read_bytes()))
    built = build_layer(tmp_path / "tar", tmp_path, conversion="tar-tarfs")
    assert built.bootstrap.read_bytes() == (refs / "v6-tarfs" / "bootstrap").read_bytes()


def digest(file: Path) -> str:
    """Enough of a file's SHA-256 to tell two apart."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
