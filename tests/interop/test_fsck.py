"""Images of ours in the hands of ``fsck.erofs``, which knows the kernel's format and nothing of RAFS."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
from pathlib import Path

import pytest

from storage.factory import open_store
from storage.image.build import build

COMPRESSORS = ("none", "lz4_block", "gzip", "zstd")


@pytest.fixture(scope="session")
def fsck() -> str:
    """The command, if it is there and can extract."""
    command = shutil.which("fsck.erofs")
    if command is None:
        pytest.skip("no fsck.erofs: install erofs-utils")
    told = subprocess.run([command, "--help"], capture_output=True, text=True)
    if "--extract" not in told.stdout + told.stderr:
        pytest.skip("this fsck.erofs cannot extract")
    return command


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_extracts_to_the_same_tree(compressor: str, fsck: str, tree: Path, tmp_path: Path) -> None:
    """Our bootstrap, over our cache file as its device, extracts to the tree that was built.

    The cache file of a wholly prefetched blob is the uncompressed blob that the inodes' block
    addresses are about, so this checks builder, decoder and cache file against the kernel's format.
    """
    build(tree, tmp_path / "image", compressor=compressor, chunk_size=64 << 10)
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        rafs.prefetch(range(len(rafs.image.chunks)))
        rafs.drain()
        names = {path.decode() for path in rafs.image.paths()[0]}
    (device,) = (tmp_path / "cache").glob("*.blob.data")
    out = tmp_path / "out"
    command = [fsck, f"--device={device}", f"--extract={out}", str(tmp_path / "image" / "bootstrap")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {"/" + str(path.relative_to(out)) for path in out.rglob("*")} == names - {"/"}
    files = [name for name in names if (tree / name[1:]).is_file()]
    assert filecmp.cmpfiles(tree, out, [name[1:] for name in files], shallow=False)[1:] == ([], [])
    assert (out / "link").readlink() == (tree / "link").readlink()
