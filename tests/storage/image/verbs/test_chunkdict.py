"""Chunk dicts: what images share, and images that are built against it, of both versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage.errors import ConfigError, FormatError, UnsupportedError
from storage.factory import open_store
from storage.image import open_image
from storage.image.build import build, build_layer
from storage.image.verbs import build_on, check, chunkdict

CHUNK = 64 << 10


@pytest.fixture(params=[5, 6], ids=["v5", "v6"])
def version(request: pytest.FixtureRequest) -> int:
    """Of RAFS."""
    return int(request.param)


@pytest.fixture
def images(version: int, tree: Path, tmp_path: Path) -> list[Path]:
    """Images of the tree, and of the tree after a change."""
    copy = Path(shutil.copytree(tree, tmp_path / "changed-tree", symlinks=True))
    (copy / "lib" / "module_05.py").write_text("changed\n")
    (copy / "zz_new").write_bytes(b"new" * 30_000)
    for source, name in ((tree, "first"), (copy, "second")):
        build(source, tmp_path / name, chunk_size=CHUNK, version=version)
    return [tmp_path / "first", tmp_path / "second"]


def test_shared(images: list[Path], tree: Path, version: int, tmp_path: Path) -> None:
    """The dict has exactly the shared chunks; an image built against it stores none of them."""
    first, second = (open_image(image) for image in images)
    made = chunkdict(images, tmp_path / "dict.boot")
    shared = {row.tobytes() for row in first.chunks.digest} & {row.tobytes() for row in second.chunks.digest}
    assert made.chunks == len(shared)
    assert check(made.bootstrap, images[0] / "blobs", deep=True).ok
    built = build(tree, tmp_path / "built", chunk_size=CHUNK, version=version, chunk_dict=made.bootstrap)
    image = open_image(built.bootstrap, images[0] / "blobs")
    own = [info for info in image.infos if info.blob_id not in made.blobs]
    assert sum(info.chunk_count for info in own) == len(first.chunks) - len(shared)


def test_everything(images: list[Path], tree: Path, version: int, tmp_path: Path) -> None:
    """An image whose chunks the dict all has writes no blob, and reads as the tree does."""
    everything = chunkdict([images[0]] * 2, tmp_path / "all.boot").bootstrap
    built = build(tree, tmp_path / "again", chunk_size=CHUNK, version=version, chunk_dict=everything)
    assert built.blob is None
    _same(built.bootstrap, images[0] / "blobs", tree, tmp_path / "cache")


@pytest.mark.parametrize("inline", [False, True], ids=["apart", "inline"])
def test_against_an_image(images: list[Path], version: int, inline: bool, tmp_path: Path) -> None:
    """Any image is a dict; what the new one has beside it is in a blob of its own, with or without the bootstrap."""
    source, blobs = tmp_path / "changed-tree", tmp_path / "built" / "blobs"
    built = build(
        source, tmp_path / "built", chunk_size=CHUNK, version=version, chunk_dict=images[0] / "bootstrap", inline=inline
    )
    old, whole = (open_image(image) for image in images)
    known = {row.tobytes() for row in old.chunks.digest}
    assert built.blob is not None and built.duplicates > 0
    for blob in (images[0] / "blobs").iterdir():
        shutil.copy(blob, blobs)
    image = open_image(built.bootstrap, blobs)
    own = next(info for info in image.infos if info.blob_id == built.blob.name)
    assert own.chunk_count == len({row.tobytes() for row in whole.chunks.digest} - known)
    assert check(built.bootstrap, blobs, deep=True).ok
    _same(built.bootstrap, blobs, source, tmp_path / "cache")


@pytest.mark.parametrize("version", [5], indirect=True)
def test_readahead(images: list[Path], tmp_path: Path) -> None:
    """v5 with chunks of a dict tells to read ahead only what is in its own blob."""
    options = {"chunk_size": CHUNK, "version": 5, "prefetch_policy": "blob"}
    for ahead, stored in (("/zz_new", 2), ("/lib/module_06.py", 0)):
        built = build(
            tmp_path / "changed-tree",
            tmp_path / ahead.replace("/", "_"),
            chunk_dict=images[0] / "bootstrap",
            prefetch=[ahead],
            **options,  # type: ignore[arg-type]
        )
        image = open_image(built.bootstrap, images[0] / "blobs")
        (own,) = [info for info in image.infos if built.blob and info.blob_id == built.blob.name]
        first = int(image.blobs.first_chunk[own.blob_index])
        sizes = image.chunks.compressed_size[first : first + stored]
        assert own.prefetch_size == int(sizes.sum())


def test_parent(images: list[Path], version: int, tmp_path: Path) -> None:
    """A layer stores nothing that its parent has."""
    layer = tmp_path / "layer"
    layer.mkdir()
    shutil.copy(tmp_path / "changed-tree" / "lib" / "module_06.py", layer / "copied.py")
    (layer / "fresh").write_bytes(b"fresh" * 30_000)
    built, both = build_on(layer, images[0] / "bootstrap", tmp_path / "on", chunk_size=CHUNK, version=version)
    assert built.blob is not None
    for blob in (images[0] / "blobs").iterdir():
        shutil.copy(blob, tmp_path / "on" / "blobs")
    image = open_image(both.bootstrap, tmp_path / "on" / "blobs")
    (own,) = [info for info in image.infos if info.blob_id == built.blob.name]
    assert own.chunk_count == 3  # of the fresh file
    assert check(both.bootstrap, tmp_path / "on" / "blobs", deep=True).ok


def test_one(images: list[Path], tmp_path: Path) -> None:
    """Chunks of one image only are in no dict unless that is asked for; no images are refused."""
    assert chunkdict([images[0]], tmp_path / "none.boot").chunks == 0
    made = chunkdict([images[0]], tmp_path / "all.boot", min_images=1)
    assert made.chunks == len(open_image(images[0]).chunks)
    assert check(made.bootstrap, images[0] / "blobs", deep=True).ok
    with pytest.raises(ConfigError):
        chunkdict([], tmp_path / "dict.boot")


def test_what_does_not_fit(images: list[Path], version: int, tree: Path, tmp_path: Path) -> None:
    """Other chunk sizes, digests and versions are refused by name; of v5 other compressors, too."""
    build(tree, tmp_path / "image", chunk_size=4096, version=version)
    with pytest.raises(FormatError, match="chunks of 4096 bytes"):
        chunkdict([images[0], tmp_path / "image"], tmp_path / "dict.boot")
    dictionary = images[0] / "bootstrap"
    refused = {
        "chunks of 65536 bytes": {"chunk_size": 4096, "version": version},
        "names chunks by blake3": {"chunk_size": CHUNK, "version": version, "digester": "sha256"},
        f"is of v{version}": {"chunk_size": CHUNK, "version": 11 - version},
    }
    if version == 5:
        refused["one compressor for all"] = {"chunk_size": CHUNK, "version": 5, "compressor": "lz4_block"}
    for message, options in refused.items():
        with pytest.raises(ConfigError, match=message):
            build(tree, tmp_path / "refused", chunk_dict=dictionary, **options)  # type: ignore[arg-type]


def test_tarfs(tmp_path: Path, tree: Path) -> None:
    """A tarfs, which has no digests, gives no dict."""
    tar = shutil.make_archive(str(tmp_path / "layer"), "tar", tree)
    made = build_layer(tar, tmp_path / "image", conversion="tar-tarfs")
    with pytest.raises(UnsupportedError, match="no digests"):
        chunkdict([made.bootstrap], tmp_path / "dict.boot")


def _same(bootstrap: Path, blobs: Path, tree: Path, cache: Path) -> None:
    """Every regular file of the tree is in the image, byte for byte."""
    with open_store(bootstrap, blobs, cache_dir=cache) as rafs:
        for path in tree.rglob("*"):
            if path.is_file() and not path.is_symlink():
                row = rafs.lookup(f"/{path.relative_to(tree)}")
                assert rafs.read(row, 0, path.stat().st_size + 1) == path.read_bytes(), path
