"""The tree of a reference image, built again by us with its options: the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from storage.image import open_bootstrap, open_image
from storage.image.build import TarTree, build, build_layer, image_tree, open_tar

OPTIONS: dict[str, dict[str, Any]] = {
    "v6-none": {"compressor": "none"},
    "v6-lz4": {"compressor": "lz4_block"},
    "v6-lz4-batch64k": {"compressor": "lz4_block", "batch_size": 64 << 10},
    "v6-zstd": {},
    "v6-zstd-batch": {"batch_size": 1 << 20},
    "v6-zstd-chunk4k": {"chunk_size": 4096},
    "v6-zstd-chunk64k": {"chunk_size": 64 << 10},
    "v6-zstd-encrypt": {"encrypt": True},
    "v6-zstd-inline": {"inline": True},
    "v6-zstd-inline-toc": {"inline": True, "toc": True},
    "v6-zstd-prefetch": {"prefetch_policy": "fs"},
    "v6-zstd-prefetch-blob": {"prefetch_policy": "blob"},
}


@pytest.mark.claim("rebuilt")
@pytest.mark.parametrize("name", OPTIONS)
def test_same_bytes(name: str, refs: Path, tmp_path: Path) -> None:
    """Out of v6-none comes any other image of the same tree: data blob and bootstrap, byte for byte.

    The encrypted one is given the key and the tweak that the reference drew.
    """
    for needed in ("v6-none", name):
        if not (refs / needed).is_dir():
            pytest.skip(f"no {needed} in {refs}")
    options = dict(OPTIONS[name])
    if "encrypt" in options:
        (info,) = open_bootstrap(refs / name).infos
        options["encrypt"] = (info.cipher_key, info.cipher_iv)
    if "prefetch_policy" in options:
        options["prefetch"] = json.loads((refs / name / "ref.json").read_text())["prefetch_input"].split()
    tree = image_tree(open_image(refs / "v6-none"), refs / "v6-none" / "blobs")
    built = build(tree, tmp_path, **options)
    assert built.blob is not None
    (blob,) = (refs / name / "blobs").iterdir()
    bootstrap = blob if options.get("inline") else refs / name / "bootstrap"
    for ours, its in ((built.blob, blob), (built.bootstrap, bootstrap)):
        print(f"{name:22} {its.stat().st_size:9,} bytes: ours {digest(ours)}, its {digest(its)}")
    assert built.blob.name == blob.name
    assert built.blob.read_bytes() == blob.read_bytes()
    assert built.bootstrap.read_bytes() == bootstrap.read_bytes()


@pytest.mark.claim("rebuilt", variant="chunkdict-v6")
def test_chunk_dict(refs: Path, tmp_path: Path) -> None:
    """What a chunk dict holds is used where it is: the reference's blob of the rest, and its bootstrap."""
    folder = refs / "chunkdict-v6"
    if not folder.is_dir():
        pytest.skip(f"no chunkdict-v6 in {refs}")
    tree = image_tree(open_image(folder / "image.boot"), folder / "blobs")
    built = build(tree, tmp_path, chunk_dict=folder / "dict.boot")
    assert built.blob is not None
    assert built.blob.read_bytes() == (folder / "blobs" / built.blob.name).read_bytes()
    assert built.bootstrap.read_bytes() == (folder / "image.boot").read_bytes()


@pytest.fixture
def tar(refs: Path) -> Path:
    """The tar that the reference was given, compressed: a zran image keeps it."""
    found = sorted(refs.glob("v6-zran/blobs/*"), key=lambda path: path.stat().st_size)
    if not found:
        pytest.skip(f"no v6-zran in {refs}")
    return found[-1]


FROM_TARS = [("v6-tar-rafs", 6, "zstd"), ("v5-targz-rafs", 5, "lz4_block")]


@pytest.mark.claim("rebuilt")
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


ZRAN: dict[str, dict[str, Any]] = {"v6-zran": {}, "v6-zran-inline-toc": {"inline": True, "toc": True}}


@pytest.mark.claim("rebuilt")
@pytest.mark.parametrize("name", ZRAN)
def test_same_bytes_of_a_gzip_layer(name: str, tar: Path, refs: Path, tmp_path: Path) -> None:
    """A gzip layer by reference gives the reference's ``blob.meta``, with what is inlined there, and bootstrap."""
    if not (refs / name).is_dir():
        pytest.skip(f"no {name} in {refs}")
    built = build_layer(tar, tmp_path, conversion="targz-ref", **ZRAN[name])
    theirs = {path.name: path.read_bytes() for path in (refs / name / "blobs").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "blobs").iterdir()} == theirs
    if not ZRAN[name]:
        assert built.bootstrap.read_bytes() == (refs / name / "bootstrap").read_bytes()


@pytest.mark.claim("rebuilt", variant="v6-tarfs")
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
