"""Images that mean harm: paths that climb out, loops, names twice, endless depth. Refused by name, or made harmless."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import FormatError, StorageError
from storage.image import open_image
from storage.image.build import Node, build
from storage.image.verbs import check, diff, merge, unpack
from workbench.cli import group


def folder(name: bytes, *children: Node) -> Node:
    """A directory."""
    return Node(name=name, path=name.decode(), mode=stat.S_IFDIR | 0o755, children=list(children))


def tar_of(image: Path) -> bytes:
    """An image's tar."""
    out = io.BytesIO()
    unpack(open_image(image), image / "blobs", out)
    return out.getvalue()


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    """An image with a link ``a`` that leads out, and a file ``a``."""
    link = Node(name=b"a", path="/a", mode=stat.S_IFLNK | 0o777, target=b"/etc", size=4)
    build(folder(b"", link, Node(name=b"a", path="/a", mode=stat.S_IFREG | 0o644)), tmp_path / "image")
    return tmp_path / "image"


def test_names_twice(twice: Path, tmp_path: Path) -> None:
    """A name that is there twice is refused by everything that would write by it, and reported by a check."""
    assert any("is there twice" in problem.what for problem in check(twice).problems)
    for act in (lambda: tar_of(twice), lambda: merge([twice / "bootstrap"], tmp_path / "merged")):
        with pytest.raises(FormatError, match="twice"):
            act()


def test_cp_follows_no_link(tree: Path, image_dir: Path, tmp_path: Path) -> None:
    """Copying a folder over a link that is there already does not write where it leads."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "lib").symlink_to(tmp_path / "outside")
    done = CliRunner().invoke(group, ["cp", str(image_dir), "/lib", str(tmp_path / "target")])
    assert isinstance(done.exception, StorageError)
    assert list((tmp_path / "outside").iterdir()) == []


def test_deep(tmp_path: Path) -> None:
    """Three thousand folders in each other are refused when opened, without a walk through all of them."""
    root = node = folder(b"")
    for _ in range(3000):
        node.children.append(folder(b"d"))
        node = node.children[0]
    build(root, tmp_path)
    with pytest.raises(FormatError, match="nested more than 2048"):
        open_image(tmp_path)
    assert [problem.kind for problem in check(tmp_path).problems] == ["open"]


def test_long_paths(tmp_path: Path) -> None:
    """Paths that no kernel takes are refused by what would write them out."""
    root = node = folder(b"")
    for _ in range(20):
        node.children.append(folder(b"n" * 255))
        node = node.children[0]
    build(root, tmp_path / "image")
    image = open_image(tmp_path / "image")
    for act in (lambda: tar_of(tmp_path / "image"), lambda: diff(image, image)):
        with pytest.raises(FormatError, match="longer than 4095"):
            act()


def renamed(image_dir: Path, tmp_path: Path, name: bytes) -> Path:
    """The image with its name ``link`` overwritten by one of the same length."""
    copy = Path(shutil.copytree(image_dir, tmp_path / "renamed"))
    data = (copy / "bootstrap").read_bytes()
    image = open_image(copy)
    starts = zip(image.entries.name_offset.tolist(), image.entries.name_length.tolist(), strict=True)
    at = next(start for start, length in starts if data[start : start + length] == b"link")
    (copy / "bootstrap").write_bytes(data[:at] + name + data[at + 4 :])
    return copy


@pytest.mark.parametrize("name", [b"/etc", b"../x", b"a/.."])
def test_names_that_climb(name: bytes, image_dir: Path, tmp_path: Path) -> None:
    """A name with a slash in it is refused when the image is opened."""
    with pytest.raises(FormatError, match="slash"):
        open_image(renamed(image_dir, tmp_path, name))


def test_folder_in_itself(image_dir: Path, tmp_path: Path) -> None:
    """A file's name that leads to the folder above it is a loop, and refused."""
    copy = Path(shutil.copytree(image_dir, tmp_path / "loop"))
    image = open_image(copy)
    data = bytearray((copy / "bootstrap").read_bytes())
    inner = int(image.inodes.nid[image.lookup("/lib/deep/noise.bin")]).to_bytes(8, "little")
    at = data.index(inner, int(image.inodes.tail_offset[image.lookup("/lib/deep")]))
    data[at : at + 8] = int(image.inodes.nid[image.lookup("/lib")]).to_bytes(8, "little")
    (copy / "bootstrap").write_bytes(data)
    with pytest.raises(FormatError, match="more than one name"):
        open_image(copy)


@given(data=st.data())
@settings(max_examples=150)
def test_tars_never_climb(data: st.DataObject, image_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of an image with flipped bytes comes an error of ours, or a tar whose names stay below its folder."""
    copy = tmp_path_factory.mktemp("flipped")
    content = bytearray((image_dir / "bootstrap").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 4))
        harmful = st.sampled_from([b"../.", b"/abs", b"\0\0\0\0"])
        content[at : at + 4] = data.draw(harmful | st.binary(min_size=4, max_size=4))
    (copy / "bootstrap").write_bytes(content)
    out = io.BytesIO()
    attempts: list[Callable[[], object]] = [
        lambda: unpack(open_image(copy, image_dir / "blobs"), image_dir / "blobs", out),
        lambda: merge([copy / "bootstrap"], copy / "merged"),
    ]
    for attempt in attempts:
        try:
            attempt()
        except StorageError:
            continue
    shutil.rmtree(copy)
    out.seek(0)
    try:
        with tarfile.open(fileobj=out) as archive:
            for member in archive:
                assert not member.name.startswith("/")
                assert ".." not in member.name.split("/")
                if member.islnk():
                    assert ".." not in member.linkname.split("/")
    except tarfile.ReadError:
        assert len(out.getvalue()) == 0 or out.getvalue()[-1024:] != bytes(1024)
