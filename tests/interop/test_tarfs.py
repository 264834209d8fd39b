"""The reference's tarfs image, over the tar that it was made of."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.errors import CacheError, ConfigError
from storage.factory import open_store
from storage.image import Image, open_image
from storage.image.verbs import check, export_block, statistics, unpack
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.erofs import CannotMountError, mounted
from tests.interop.references import Variant
from tests.interop.trees import compare_mounted, compare_tar

# Of these the reference takes a last chunk that is full for an empty one, and all chunks for one.
MISCOUNTED = {"comp_size", "uncomp_size", "own_comp_size", "own_uncomp_size"}


@pytest.fixture
def tarfs(refs: Path, tmp_path: Path) -> Path:
    """Its bootstrap, with the tar for its blob."""
    layers = sorted(refs.glob("v6-zran/blobs/*"), key=lambda path: path.stat().st_size)
    if not layers or not (refs / "v6-tarfs").is_dir():
        pytest.skip(f"no v6-tarfs and v6-zran in {refs}")
    tar = gzip.decompress(layers[-1].read_bytes())
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / hashlib.sha256(tar).hexdigest()).write_bytes(tar)
    shutil.copyfile(refs / "v6-tarfs" / "bootstrap", tmp_path / "bootstrap")
    return tmp_path


@pytest.mark.claim("attributes", "content", variant="v6-tarfs")
def test_every_byte_and_attribute(tarfs: Path, refs: Path, tmp_path: Path) -> None:
    """The tree is that of the image that stores the same tar anew; each file has its SHA-256."""
    image, other = open_image(tarfs), open_image(refs / "v6-tar-rafs")
    tree = {bytes.fromhex(entry["path_hex"]): entry for entry in json.loads((refs / "tree-tar.json").read_text())}
    assert sorted(image.paths()[0]) == sorted(tree)
    with open_store(tarfs, cache_dir=tmp_path / "cache") as rafs:
        for path, row in zip(*image.paths(), strict=True):
            twin = other.lookup(path)
            told, its = image.stat(row)._asdict(), other.stat(twin)._asdict()
            for field in ("st_ino", "st_size") if tree[path]["type"] == "dir" else ("st_ino",):
                del told[field], its[field]
            assert told == its, path
            assert image.xattrs(row) == other.xattrs(twin)
            if tree[path]["type"] == "reg":
                assert hashlib.sha256(rafs.read(int(row))).hexdigest() == tree[path]["sha256"], path
            elif tree[path]["type"] == "symlink":
                assert image.readlink(row) == other.readlink(twin)


@pytest.mark.claim("unpack", variant="v6-tarfs")
def test_unpacks_to_the_tree(tarfs: Path, refs: Path) -> None:
    """Unpacked it is a tar of the same tree again."""
    out = io.BytesIO()
    unpack(open_image(tarfs), tarfs / "blobs", out)
    compare_tar(out, described(refs))


@pytest.mark.claim("kernel", variant="v6-tarfs")
@pytest.mark.root
@pytest.mark.parametrize("devices", [False, True], ids=["block", "tar"])
def test_kernel_shows_the_tree(devices: bool, tarfs: Path, refs: Path, tmp_path: Path) -> None:
    """The kernel shows the tree: of the image as one block image, and of the bootstrap over the tar as it is."""
    place, made = tmp_path / "mounted", tarfs / "bootstrap"
    place.mkdir()
    if not devices:
        made = export_block(tarfs, tmp_path / "block.erofs").path
    try:
        with mounted(made, place, [*(tarfs / "blobs").iterdir()] if devices else []):
            compare_mounted(os.fsencode(place), described(refs))
    except CannotMountError as reason:
        pytest.skip(str(reason))


def described(refs: Path) -> Variant:
    """What the image must hold."""
    ref = json.loads((refs / "v6-tarfs" / "ref.json").read_text())
    return Variant("v6-tarfs", refs / "v6-tarfs", ref)


@pytest.mark.claim("check, stat, inspect", variant="v6-tarfs")
def test_what_the_reference_says(tarfs: Path, refs: Path) -> None:
    """Check finds nothing; stat is the reference's, but for its two faults, which account for the difference exactly.

    It takes a file's last chunk for size modulo chunk size, nothing where that is whole (rafs
    ``direct_v6.rs``, `get_chunk_info`); and all chunks of a tarfs, which have no digest, for one: the
    first that it met.
    """
    assert check(tarfs, deep=True).problems == ()
    image = open_image(tarfs)
    said = statistics(image).to_dict()
    theirs = json.loads((refs / "v6-tarfs" / "ref.json").read_text())["stat"]["base_image"]
    size = image.inodes.size[(image.inodes.extents > 0)]
    lost = int((size % image.chunk_size == 0).sum()) * image.chunk_size
    assert lost > 0
    assert (theirs["comp_size"], theirs["uncomp_size"]) == (said["comp_size"] - lost, said["uncomp_size"] - lost)
    assert theirs["own_comp_size"] == theirs["own_uncomp_size"] == first_size(image)
    same = {key: value for key, value in said.items() if key not in MISCOUNTED}
    assert same == {key: theirs[key] for key in same}


def first_size(image: Image) -> int:
    """Bytes of the first file with content that a walk from the root meets, names in order, depth first."""
    pending = [0]
    while pending:
        row = pending.pop()
        if stat.S_ISDIR(int(image.inodes.mode[row])):
            pending += [child for _, child in sorted(image.children(row), reverse=True)]
        elif image.inodes.extents[row]:
            return int(image.inodes.size[row]) % image.chunk_size
    return 0


def test_the_tar_is_its_own_cache(tarfs: Path, tmp_path: Path) -> None:
    """A tar that lies in the cache folder is read there, as in nydusd: nothing is asked for, and nothing written."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (tar,) = (tarfs / "blobs").iterdir()
    shutil.copyfile(tar, folder / tar.name)
    (folder / tar.name).chmod(0o400)
    with (
        open_store(tarfs, cache_dir=tmp_path / "fresh") as source,
        open_store(tarfs, cache_dir=folder, backend=WatchedBackend(LocalFs(tarfs / "blobs"), refuse)) as rafs,
    ):
        files = [int(row) for row in np.flatnonzero(rafs.image.inodes.extents)]
        assert len(files) > 50
        assert [rafs.read(row) for row in files] == [source.read(row) for row in files]
        assert rafs.device.all_chunks_ready([vector for row in files for vector in rafs.io_vecs(row, 0, 1 << 30)])
    assert sorted(path.name for path in folder.iterdir()) == [".lock", tar.name]
    with pytest.raises(ConfigError, match="cannot be evicted"):
        open_store(tarfs, cache_dir=folder, capacity=1000)
    (folder / tar.name).write_bytes(b"short")
    with pytest.raises(CacheError, match="is 5 bytes"):
        open_store(tarfs, cache_dir=folder)
