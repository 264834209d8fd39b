"""The reference's tarfs image, over the tar that it was made of."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.errors import CacheError, ConfigError
from storage.factory import open_store
from storage.image import open_image
from storage.image.verbs import check, statistics
from storage.testing.backends import WatchedBackend, refuse

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


def test_what_the_reference_says(tarfs: Path, refs: Path) -> None:
    """Check finds nothing; stat is the reference's, less what it miscounts."""
    assert check(tarfs, deep=True).problems == ()
    said = statistics(open_image(tarfs)).to_dict()
    theirs = json.loads((refs / "v6-tarfs" / "ref.json").read_text())["stat"]["base_image"]
    assert {key: said[key] for key in said if key not in MISCOUNTED} == {
        key: theirs[key] for key in said if key not in MISCOUNTED
    }


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
