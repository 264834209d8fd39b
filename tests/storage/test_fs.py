"""RAFS in process: names, attributes, and bytes through the store."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import PathError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.fs import Rafs


@pytest.fixture
def rafs(image_dir: Path, tmp_path: Path) -> Iterator[Rafs]:
    """The shared image through an empty cache."""
    with open_store(image_dir, cache_dir=tmp_path / "cache", recorder=Recorder()) as opened:
        yield opened


def test_names(rafs: Rafs, tree: Path) -> None:
    """Folders list what is in them; links say where they point."""
    assert rafs.readdir("/") == sorted(os.listdir(tree))
    assert sorted(rafs.readdir("lib/deep")) == ["noise.bin"]
    assert rafs.readlink("/link") == "lib/module_01.py"


def test_attributes(rafs: Rafs, tree: Path) -> None:
    """What stat says of the source it says of the image."""
    for path in tree.rglob("*"):
        real, ours = path.lstat(), rafs.stat(f"/{path.relative_to(tree)}")
        assert (ours.st_mode, ours.st_uid, ours.st_gid) == (real.st_mode, real.st_uid, real.st_gid)
        assert ours.st_mtime_ns == real.st_mtime_ns
        if path.is_file() and not path.is_symlink():
            assert (ours.st_size, ours.st_nlink) == (real.st_size, real.st_nlink)


def test_every_byte(rafs: Rafs, tree: Path) -> None:
    """Files come out as they went in."""
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert rafs.read(f"/{path.relative_to(tree)}") == path.read_bytes()


def test_any_range(rafs: Rafs, tree: Path) -> None:
    """Any range of a file, past its end too, is what the file has there; and the books balance."""
    whole, chosen = (tree / "big.txt").read_bytes(), random.Random(1)
    for _ in range(200):
        offset = chosen.randrange(len(whole) + 100)
        length = chosen.choice([0, 1, 4096, 70_000, 400_000])
        assert rafs.read("/big.txt", offset, length) == whole[offset : offset + length]
    recorder = rafs.cache.log.recorder
    assert recorder is not None
    assert audit(recorder.table()).asked > 0


def test_read_into(rafs: Rafs, tree: Path) -> None:
    """Reading into a buffer says how much there was, and leaves the rest alone."""
    whole = (tree / "copy.txt").read_bytes()
    buffer = bytearray(b"x" * (len(whole) + 10))
    assert rafs.readinto(rafs.lookup("/copy.txt"), 0, buffer) == len(whole)
    assert buffer == whole + b"x" * 10
    assert rafs.readinto(rafs.lookup("/empty"), 0, buffer) == 0


@pytest.mark.parametrize("path", ["/nothing", "/lib/nothing", "/copy.txt/x", "/link/x"])
def test_not_there(rafs: Rafs, path: str) -> None:
    """What is not there is refused by path."""
    with pytest.raises(PathError, match=path):
        rafs.lookup(path)


def test_wrong_kind(rafs: Rafs) -> None:
    """Reading a folder, listing a file, following a file: each refused, by path."""
    for call in (lambda: rafs.read("/lib"), lambda: rafs.readdir("/copy.txt"), lambda: rafs.readlink("/copy.txt")):
        with pytest.raises(PathError, match=r"/lib|/copy\.txt"):
            call()


def test_restart(image_dir: Path, tmp_path: Path) -> None:
    """What one store cached the next one finds, without a request, ``blob.meta`` included."""
    for number in range(2):
        recorder = Recorder()
        with open_store(image_dir, cache_dir=tmp_path, recorder=recorder) as rafs:
            rafs.read("/big.txt")
        received = audit(recorder.table()).received
        assert (received > 0) == (number == 0)
