"""nydusd's cache folder opened by us, and ours beside it after the same reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.cache import read_chunk_map
from storage.errors import BackendError
from storage.factory import open_store
from storage.fs import Rafs
from storage.testing.backends import WatchedBackend, refuse

IMAGES = ("v5-lz4", "v6-zran", "v6-zstd", "v6-zstd-batch", "v6-zstd-encrypt")


def folders(refs: Path, name: str) -> tuple[Path, Path]:
    """An image, and the cache folder that nydusd left of it."""
    image, cache = refs / name, refs / "nydusd-cache" / name
    if not (image.is_dir() and cache.is_dir()):
        pytest.skip(f"no cache folder of {name} in {refs}")
    return image, cache


def copied(folder: Path, to: Path) -> Path:
    """The files of a folder, to be written to whatever their modes were."""
    to.mkdir()
    for file in folder.iterdir():
        shutil.copyfile(file, to / file.name)
    return to


def no_backend(image: Path) -> WatchedBackend:
    """A backend that fails every read."""
    return WatchedBackend(LocalFs(image / "blobs"), refuse)


def chunk(rafs: Rafs, row: int) -> bytes:
    """A whole chunk, read through the store."""
    size = int(rafs.image.chunks.uncompressed_size[row])
    buffer = bytearray(size)
    rafs.cache.read([row], [0], [size], [buffer])
    return bytes(buffer)


def ready(folder: Path, rafs: Rafs) -> np.ndarray:
    """Which chunks of an image of one blob its chunk map says are ready."""
    (path,) = folder.glob("*.chunk_map")
    return read_chunk_map(path, len(rafs.image.chunks))


@pytest.mark.parametrize("name", IMAGES)
def test_served_from_its_cache(name: str, refs: Path, tmp_path: Path) -> None:
    """What nydusd marked as ready is served without one request, and right; what it did not is asked for."""
    image, theirs = folders(refs, name)
    cache = copied(theirs, tmp_path / "cache")
    with (
        open_store(image, cache_dir=tmp_path / "fresh") as source,
        open_store(image, cache_dir=cache, backend=no_backend(image)) as rafs,
    ):
        marked = ready(theirs, rafs)
        assert marked.any()
        assert not marked.all()
        for row in np.flatnonzero(marked).tolist():
            assert chunk(rafs, row) == chunk(source, row), row
        with pytest.raises(BackendError, match="the backend was asked"):
            chunk(rafs, int(np.flatnonzero(~marked)[0]))


@pytest.mark.parametrize("name", IMAGES)
def test_its_files_without_a_request(name: str, refs: Path, tmp_path: Path) -> None:
    """The files that nydusd had read are read from its cache folder alone."""
    image, theirs = folders(refs, name)
    cache = copied(theirs, tmp_path / "cache")
    files = json.loads((theirs / "files-read.json").read_text())
    with (
        open_store(image, cache_dir=tmp_path / "fresh") as source,
        open_store(image, cache_dir=cache, backend=no_backend(image)) as rafs,
    ):
        assert [rafs.read(path) for path in files] == [source.read(path) for path in files]


@pytest.mark.parametrize("name", IMAGES)
def test_our_folder_beside_its(name: str, refs: Path, tmp_path: Path) -> None:
    """After the same files under plan `reference`: the same blob.meta, chunks and bytes.

    nydusd had been told not to amplify, which v6 does all the same, by 128 KiB; so what was
    fetched along is the same as well.
    """
    image, theirs = folders(refs, name)
    with open_store(image, cache_dir=tmp_path, plan="reference", amplify_io=0) as rafs:
        for path in json.loads((theirs / "files-read.json").read_text()):
            rafs.read(path)
        both = np.flatnonzero(ready(tmp_path, rafs)).tolist()
        assert both == np.flatnonzero(ready(theirs, rafs)).tolist()
        chunks = rafs.image.chunks
    for meta in theirs.glob("*.blob.meta"):
        assert (tmp_path / meta.name).read_bytes() == meta.read_bytes()
    (its,), (ours,) = theirs.glob("*.blob.data"), tmp_path.glob("*.blob.data")
    a, b = its.read_bytes(), ours.read_bytes()
    assert len(a) == len(b)
    for row in both:
        start = int(chunks.uncompressed_offset[row])
        end = start + int(chunks.uncompressed_size[row])
        assert a[start:end] == b[start:end], row


@pytest.mark.parametrize("name", IMAGES)
def test_our_folder_is_in_its_format(name: str, refs: Path, tmp_path: Path) -> None:
    """Our chunk map begins with the header that its chunk map has."""
    image, theirs = folders(refs, name)
    with open_store(image, cache_dir=tmp_path, backend=LocalFs(image / "blobs")):
        (its,), (ours,) = theirs.glob("*.chunk_map"), tmp_path.glob("*.chunk_map")
        assert ours.name == its.name
        assert ours.stat().st_size == its.stat().st_size
        assert ours.read_bytes()[:4096] == its.read_bytes()[:4096]


def test_images_share_blobs(refs: Path, tmp_path: Path) -> None:
    """A merged image and one of its layers, open on one folder: what one read the other has, without a request."""
    folder = refs / "layers-v6-merge-none"
    if not folder.is_dir():
        pytest.skip(f"no layers-v6-merge-none in {refs}")
    layer = "2368d61fef7b44f764596a88df6782cd669a6fb2aff7118a1d3377e2da25cffd"
    watched = WatchedBackend(LocalFs(folder / "blobs"))
    with (
        open_store(folder / f"{layer}.boot", folder / "blobs", cache_dir=tmp_path, backend=watched) as one,
        open_store(folder / "merged.boot", folder / "blobs", cache_dir=tmp_path, backend=watched) as merged,
    ):
        (info,) = one.image.infos
        (twin,) = (other for other in merged.image.infos if other.blob_id == info.blob_id)
        start = np.flatnonzero(merged.image.chunks.blob == twin.blob_index)[0]
        known = np.flatnonzero(
            one.image.chunks.has_digest & merged.image.chunks.has_digest[start:][: len(one.image.chunks)]
        )
        assert len(known) > 3
        for row in known.tolist():
            chunk(one, row)
        before = len(watched.requests)
        assert [chunk(merged, int(start) + row) for row in known.tolist()] == [
            chunk(one, row) for row in known.tolist()
        ]
        assert len(watched.requests) == before
    assert sorted(path.name for path in tmp_path.glob(f"{info.blob_id}*")) == [
        f"{info.blob_id}.blob.{suffix}" for suffix in ("data", "data.chunk_map", "meta")
    ]
