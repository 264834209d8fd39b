"""What is asked of an opened image one file at a time."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from storage.errors import FormatError, PathError
from storage.image import Image, locate, open_bootstrap, open_image
from storage.image.build import build

CHUNK = 64 << 10


@pytest.fixture(scope="module")
def image(image_dir: Path) -> Image:
    """The image of `tree`, in chunks of 64 KiB."""
    return open_image(image_dir)


def test_lookup(image: Image) -> None:
    """Paths are taken from the root, as text or bytes, with slashes and dots to spare."""
    row = image.lookup("/lib/module_01.py")
    for path in ("lib/module_01.py", "//lib///module_01.py", "/./lib/./module_01.py", b"/lib/module_01.py"):
        assert image.lookup(path) == row
    for path in ("/", "", ".", b"/"):
        assert image.lookup(path) == 0
    assert image.path_of(row) == "/lib/module_01.py"
    assert image.path_of(0) == "/"


@pytest.mark.parametrize("path", ["/no", "/lib/no", "/big.txt/x", "/link/x", "/..", "/lib/../big.txt", b"\xff\xfe"])
def test_no_such_file(path: str | bytes, image: Image) -> None:
    """What is not there, or lies below what is no directory, is an error by path; links and ``..`` lead nowhere."""
    with pytest.raises(PathError, match="no such file"):
        image.lookup(path)


def test_children(image: Image) -> None:
    """A directory's names with their rows; anything else has none."""
    rows = dict(image.children(0))
    assert sorted(rows) == [b"big.txt", b"copy.txt", b"empty", b"hard", b"lib", b"link"]
    assert rows[b"hard"] == image.lookup("/lib/module_02.py")
    with pytest.raises(PathError, match="not a directory") as failed:
        image.children(rows[b"big.txt"])
    assert failed.value.where == {"path": "/big.txt"}


def test_readlink(image: Image) -> None:
    """A link's target; anything else has none."""
    assert image.readlink(image.lookup("/link")) == b"lib/module_01.py"
    with pytest.raises(PathError, match="not a symbolic link"):
        image.readlink(image.lookup("/big.txt"))


@pytest.mark.parametrize("length", [1, 2000, 3999, 4000, 4031, 4032, 4064, 4095])
def test_long_links(length: int, tmp_path: Path) -> None:
    """Targets of any length a system takes are kept, where an inode's tail ends at a block and beyond."""
    (tmp_path / "tree").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "tree" / name).symlink_to("t" * length)
    build(tmp_path / "tree", tmp_path / "image")
    opened = open_image(tmp_path / "image")
    assert [opened.readlink(opened.lookup(name)) for name in ("a", "b", "c")] == [b"t" * length] * 3


@pytest.mark.parametrize(
    ("offset", "length", "offsets", "lengths"),
    [
        (0, 1, [0], [1]),
        (0, CHUNK, [0], [CHUNK]),
        (1, CHUNK, [1, 0], [CHUNK - 1, 1]),
        (CHUNK - 1, 2, [CHUNK - 1, 0], [1, 1]),
        (3 * CHUNK, CHUNK, [0], [CHUNK]),
        (262_144 + 30_000, 1 << 30, [30_000], [300_000 - 262_144 - 30_000]),
        (0, 1 << 40, [0] * 5, [CHUNK] * 4 + [300_000 - 262_144]),
        (299_999, 5, [299_999 - 262_144], [1]),
        (300_000, 5, [], []),
        (10, 0, [], []),
        (1 << 50, 1, [], []),
    ],
)
def test_segments(offset: int, length: int, offsets: list[int], lengths: list[int], image: Image) -> None:
    """A read falls into chunks at multiples of the chunk size, and ends with the file."""
    row = image.lookup("/lib/deep/noise.bin")
    rows, got_offsets, got_lengths = image.segments(row, offset, length)
    assert (got_offsets, got_lengths) == (offsets, lengths)
    first = int(image.inodes.first_extent[row]) + offset // CHUNK
    assert rows == image.extents.chunk[first : first + len(rows)].tolist()


def test_segments_of_others(image: Image) -> None:
    """An empty file has none; directories and links are not read."""
    assert image.segments(image.lookup("/empty"), 0, 100) == ([], [], [])
    for path in ("/", "/link"):
        with pytest.raises(PathError, match="not a regular file"):
            image.segments(image.lookup(path), 0, 1)


def test_stat(image: Image, tree: Path) -> None:
    """Kind, mode, owner, size, links and time are the file's; both names of a file are one inode."""
    for name in ("big.txt", "lib/module_01.py", "hard", "empty"):
        info, real = image.stat(image.lookup(name)), (tree / name).lstat()
        assert (info.st_mode, info.st_uid, info.st_gid, info.st_size, info.st_nlink, info.st_mtime_ns) == (
            real.st_mode,
            real.st_uid,
            real.st_gid,
            real.st_size,
            real.st_nlink,
            real.st_mtime_ns,
        )
    assert image.stat(image.lookup("hard")) == image.stat(image.lookup("lib/module_02.py"))
    assert stat.S_ISDIR(image.stat(0).st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="xattrs are built from on Linux only")
def test_xattrs(tmp_path: Path) -> None:
    """Names and values of any bytes, none, and many; on files, directories and beside inline tails."""
    root = tmp_path / "tree"
    (root / "d").mkdir(parents=True)
    wanted: dict[str, dict[str, bytes]] = {
        "f": {"user.a": b"", "user.b": bytes(range(256)), "user.größe": b"1"},
        "d": {f"user.{number}": str(number).encode() for number in range(50)},
        "none": {},
        "long": {"user." + "n" * 250: b"v" * 3000},
    }
    for name, xattrs in wanted.items():
        if name != "d":
            (root / name).write_bytes(b"content")
        for key, value in xattrs.items():
            try:
                os.setxattr(root / name, key, value)
            except OSError as error:
                pytest.skip(f"this file system takes no xattrs: {error.strerror}")
    build(root, tmp_path / "image")
    opened = open_image(tmp_path / "image")
    assert {name: opened.xattrs(opened.lookup(name)) for name in wanted} == wanted


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_large_folders(count: int, tmp_path: Path) -> None:
    """Thousands of names in one directory, long and short, are all found."""
    (tmp_path / "tree").mkdir()
    names = {f"{number}-{'n' * (number % 200)}" for number in range(count)}
    for name in names:
        (tmp_path / "tree" / name).touch()
    build(tmp_path / "tree", tmp_path / "image")
    opened = open_image(tmp_path / "image")
    assert {name.decode() for name, _ in opened.children(0)} == names
    assert all(opened.path_of(opened.lookup(name)) == f"/{name}" for name in sorted(names)[:50])


def test_tables(image: Image, image_dir: Path) -> None:
    """The tables fit together: extents cover files, chunks have digests, blobs have their chunks."""
    regular = (image.inodes.mode & 0o170000) == stat.S_IFREG
    assert image.inodes.size[regular].sum() == image.extents.length.sum()
    assert image.chunks.has_digest.all()
    assert image.blobs.chunk_count.sum() == len(image.chunks)
    assert (np.diff(image.chunks.compressed_offset) == image.chunks.compressed_size[:-1]).all()
    assert len(image.chunks.to_arrow()) == len(image.chunks.to_pandas()) == len(image.chunks)
    assert "RAFS image" in image._repr_html_()
    assert image.bootstrap_digest == hashlib.sha256((image_dir / "bootstrap").read_bytes()).hexdigest()


def test_ways_to_name_it(image_dir: Path, image: Image, tmp_path: Path) -> None:
    """The folder, the bootstrap, its bytes; and blobs that lie elsewhere, or not at all."""
    bootstrap = image_dir / "bootstrap"
    assert locate(image_dir) == locate(bootstrap)
    assert locate(bootstrap).blobs == image_dir / "blobs"
    assert open_bootstrap(bootstrap.read_bytes()).image().bootstrap_digest == image.bootstrap_digest
    (tmp_path / "alone").write_bytes(bootstrap.read_bytes())
    for blobs in (None, image_dir / "blobs"):
        again = open_image(tmp_path / "alone", blobs)
        assert (again.chunks.digest == image.chunks.digest).all()


@pytest.mark.parametrize("content", [b"", b"x", b"#!/bin/sh\n" * 1000, bytes(100_000), b"\x7fELF" + bytes(5000)])
def test_no_image(content: bytes, tmp_path: Path) -> None:
    """A file of another kind is refused by path, as is a folder of such files, one without any, and no file."""
    (tmp_path / "file").write_bytes(content)
    for path in (tmp_path / "file", tmp_path, tmp_path / "none"):
        with pytest.raises(FormatError) as failed:
            open_image(path)
        assert str(path) in str(failed.value)
