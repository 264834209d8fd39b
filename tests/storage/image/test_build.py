"""Building: what is counted, what is refused, and that nothing is left of a build that failed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from storage.errors import ConfigError, FormatError, StorageError
from storage.factory import open_store
from storage.image import Image, open_image
from storage.image.build import Node, build, directory_tree, image_tree

ALL = stat.S_IFREG | 0o644


def node(name: bytes, mode: int = ALL, **more: object) -> Node:
    """A node of a tree made by hand."""
    return Node(name=name, path=f"/{name!r}", mode=mode, **more)  # type: ignore[arg-type]


def built(root: Node, out: Path) -> Image:
    """An image of a tree made by hand."""
    build(root, out)
    return open_image(out)


def folder(*children: Node, name: bytes = b"") -> Node:
    """A directory of nodes."""
    return node(name, stat.S_IFDIR | 0o755, children=sorted(children, key=lambda child: child.name))


def test_counts(tmp_path: Path) -> None:
    """Files, chunks and duplicates are counted; a chunk that occurs twice, in one file or two, is kept once."""
    (tmp_path / "tree" / "d").mkdir(parents=True)
    block = os.urandom(4096)
    (tmp_path / "tree" / "a").write_bytes(block * 3)
    (tmp_path / "tree" / "d" / "b").write_bytes(block + b"tail")
    (tmp_path / "tree" / "empty").touch()
    result = build(tmp_path / "tree", tmp_path / "image", compressor="none", chunk_size=4096)
    assert (result.files, result.chunks, result.duplicates, result.plain_bytes) == (5, 2, 3, 4100)
    assert result.blob is not None
    assert result.blob_bytes == result.blob.stat().st_size == 4100 + 2 * 16 + 4096
    assert result.bootstrap == tmp_path / "image" / "bootstrap"


def test_no_content(tmp_path: Path) -> None:
    """A tree without any content has an image without a blob, and is read like any other."""
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "empty").touch()
    result = build(tmp_path / "tree", tmp_path / "image")
    assert (result.blob, result.chunks, result.blob_bytes) == (None, 0, 0)
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        assert sorted(rafs.readdir("/")) == ["d", "empty"]
        assert rafs.read("/empty") == b""


def test_every_kind(tmp_path: Path) -> None:
    """Devices of any number, big ids, all mode bits and times before the dot are kept, whoever builds."""
    wanted = {
        b"chr": node(b"chr", stat.S_IFCHR | 0o600, rdev=os.makedev(255, 1)),
        b"blk": node(b"blk", stat.S_IFBLK | 0o600, rdev=os.makedev(4000, 70_000)),
        b"fifo": node(b"fifo", stat.S_IFIFO | 0o7777),
        b"sock": node(b"sock", stat.S_IFSOCK),
        b"reg": node(b"reg", ALL, uid=(1 << 32) - 2, gid=1 << 31, mtime_ns=1_600_000_000_999_999_999),
        b"acl": node(b"acl", ALL, xattrs=(("security.capability", b"\1\0\0\2"), ("trusted.x", b"y"))),
    }
    image = built(folder(*wanted.values()), tmp_path)
    for name, want in wanted.items():
        row = image.lookup(name)
        info = image.stat(row)
        assert (info.st_mode, info.st_uid, info.st_gid, info.st_rdev, info.st_mtime_ns) == (
            want.mode,
            want.uid,
            want.gid,
            want.rdev,
            want.mtime_ns,
        )
        assert tuple(sorted(image.xattrs(row).items())) == want.xattrs


@pytest.mark.parametrize("chunk_size", [0, 1, 2048, 4097, 12_288, 32 << 20, -4096])
def test_no_such_chunk_size(chunk_size: int, tree: Path, tmp_path: Path) -> None:
    """Chunk sizes that cannot be are refused, and nothing is made."""
    with pytest.raises(ConfigError, match=f"chunk size of {chunk_size}"):
        build(tree, tmp_path / "image", chunk_size=chunk_size)
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("options", [{"compressor": "brotli"}, {"digester": "md5"}])
def test_no_such_algorithm(options: dict[str, str], tree: Path, tmp_path: Path) -> None:
    """Algorithms that there are not are refused, and nothing is made."""
    with pytest.raises(ConfigError, match="is called"):
        build(tree, tmp_path / "image", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "image").exists()


def test_no_such_source(tmp_path: Path) -> None:
    """A source that is not there, or is no directory, is refused by path."""
    (tmp_path / "file").touch()
    for source in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(FormatError) as failed:
            build(source, tmp_path / "image")
        assert str(source) in str(failed.value)


def test_nowhere_to_write(tree: Path, tmp_path: Path) -> None:
    """Where a file is in the way of the image, that is said."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written") as failed:
        build(tree, tmp_path / "file" / "image")
    assert failed.value.where["path"] == tmp_path / "file" / "image"


@pytest.mark.parametrize("name", [b"x" * 256, b"a/b", b"a\0b", b".", b"..", b""])
def test_names_that_cannot_be(name: bytes, tmp_path: Path) -> None:
    """Names that no directory could have are refused, and nothing is made."""
    with pytest.raises(FormatError, match="a name cannot be kept"):
        build(folder(node(name)), tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_a_file_that_shrinks(tree: Path, tmp_path: Path) -> None:
    """A file that becomes shorter while it is read is named; neither blob nor bootstrap is left."""
    source = tmp_path / "tree"
    source.mkdir()
    (source / "file").write_bytes(bytes(10_000))
    found = directory_tree(source)
    os.truncate(source / "file", 5000)
    with pytest.raises(FormatError, match="became shorter") as failed:
        build(found, tmp_path / "image", chunk_size=4096)
    assert failed.value.where["path"] == str(source / "file")
    assert [path.name for path in (tmp_path / "image").rglob("*")] == ["blobs"]


def test_a_file_that_goes(tmp_path: Path) -> None:
    """A file that is gone when it is to be read is named as well."""
    source = tmp_path / "tree"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    found = directory_tree(source)
    (source / "file").unlink()
    with pytest.raises(FormatError, match="No such file") as failed:
        build(found, tmp_path / "image")
    assert failed.value.where["path"] == str(source / "file")


def test_left_out(tree: Path, tmp_path: Path) -> None:
    """Names that are left out of the directory itself are not in the image; deeper ones are."""
    image = built(directory_tree(tree, leave_out=["big.txt", "module_01.py"]), tmp_path)
    assert sorted(name for name, _ in image.children(0)) == [b"copy.txt", b"empty", b"hard", b"lib", b"link"]
    assert image.lookup("/lib/module_01.py") > 0


@pytest.mark.parametrize("compressor", ["none", "lz4_block", "gzip", "zstd"])
def test_an_image_built_again(compressor: str, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """An image's own tree, built with its options, is the same image; with others, that of the directory."""
    again = image_tree(open_image(image_dir), image_dir / "blobs")
    build(again, tmp_path / "one", compressor=compressor, chunk_size=64 << 10)
    build(tree, tmp_path / "two", compressor=compressor, chunk_size=64 << 10)
    for path in (tmp_path / "two").rglob("*"):
        other = tmp_path / "one" / path.relative_to(tmp_path / "two")
        assert path.is_dir() or other.read_bytes() == path.read_bytes()


def test_xattrs_too_long(tmp_path: Path) -> None:
    """What an inode has no room for is an error of ours."""
    for xattrs in ((("user.x", b"v" * 70_000),), (("user." + "n" * 300, b""),)):
        with pytest.raises(StorageError):
            build(folder(node(b"file", xattrs=xattrs)), tmp_path / "image")
