"""A whole image has nothing wrong with it; each fault is found and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import IntegrityError
from storage.image import open_image
from storage.image._ondisk import CHUNK_ADDR, DEVICE_TABLE_OFFSET, DIRENT, INODE_EXTENDED, SLOT_SIZE, SUPER_OFFSET
from storage.image.verbs import check


@pytest.fixture
def copy(image_dir: Path, tmp_path: Path) -> Path:
    """An image that may be spoilt."""
    return Path(shutil.copytree(image_dir, tmp_path / "image"))


def spoil(file: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def place_of(folder: Path, path: str) -> int:
    """Where in the bootstrap a file's inode lies."""
    image = open_image(folder)
    block = int(np.frombuffer(image.data, "<u4", 1, SUPER_OFFSET + 40)[0]) * 4096
    return block + int(image.inodes.nid[image.lookup(path)]) * SLOT_SIZE


def test_nothing_is_wrong(image_dir: Path) -> None:
    """An image of ours has no problems, and every chunk that files use is verified."""
    report = check(image_dir, deep=True)
    image = open_image(image_dir)
    assert report.ok
    assert report.verified == len(image.chunks)
    assert report.verified_bytes == int(image.chunks.uncompressed_size.sum())
    assert (report.files, report.version) == (len(image.entries) + 1, 6)
    report.raise_first()


def test_not_an_image(tmp_path: Path) -> None:
    """What cannot be opened has one problem: the error that opening gives."""
    (tmp_path / "bootstrap").write_bytes(b"no image" * 1000)
    (problem,) = check(tmp_path).problems
    assert problem.kind == "open"
    assert str(tmp_path) in problem.where


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_flipped_bytes_of_a_blob(copy: Path, size: int) -> None:
    """A flipped byte in a chunk is found by --deep, with blob and chunk, and without it is not looked for."""
    image = open_image(copy)
    (blob,) = (copy / "blobs").iterdir()
    offset = int(image.chunks.compressed_offset[3]) + int(image.chunks.compressed_size[3]) // 2
    before = blob.read_bytes()[offset]
    spoil(blob, offset, bytes([before ^ 0xFF]))
    assert check(copy).ok
    report = check(copy, deep=True)
    assert [problem.kind for problem in report.problems] == ["chunk"]
    assert f"blob {blob.name}" in report.problems[0].where
    assert "chunk 3" in report.problems[0].where
    assert report.verified == report.chunks - 1
    with pytest.raises(IntegrityError):
        report.raise_first()


def test_missing_blob(copy: Path) -> None:
    """A missing blob is one problem of a deep check, whatever the number of its chunks."""
    shutil.rmtree(copy / "blobs")
    (copy / "blobs").mkdir()
    (problem,) = check(copy, deep=True).problems
    assert problem.kind == "blob"
    assert check(copy).ok


def test_short_blob(copy: Path) -> None:
    """A blob that is cut short is a problem before anything of it is read."""
    (blob,) = (copy / "blobs").iterdir()
    data = blob.read_bytes()
    blob.write_bytes(data[: len(data) // 2])
    assert not check(copy).ok


def test_link_count(copy: Path) -> None:
    """A link count other than the number of names is found, with the path."""
    at = place_of(copy, "/hard") + INODE_EXTENDED.fields["nlink"][1]  # type: ignore[index]
    spoil(copy / "bootstrap", at, (7).to_bytes(4, "little"))
    (problem,) = check(copy).problems
    assert (problem.kind, problem.what) == ("link", "has a link count of 7 where 2 is right")
    assert problem.where in ("/hard", "/lib/module_02.py")


def test_dirent_type(copy: Path) -> None:
    """A dirent of another type than its inode is found: the kernel would believe it."""
    image = open_image(copy)
    first = int(image.entries.name_offset[0])  # of the root's first name but "." and "..", behind all dirents
    names = len(image.children(0)) + 2
    block = first - 3 - names * DIRENT.itemsize
    spoil(copy / "bootstrap", block + 2 * DIRENT.itemsize + 10, b"\x05")
    (problem,) = check(copy).problems
    assert problem.kind == "dirent"
    assert "type 5" in problem.what


def test_dot_dot(copy: Path) -> None:
    """A name ``..`` that leads elsewhere is found."""
    image = open_image(copy)
    row = image.lookup("/lib/deep")
    tail = int(image.inodes.tail_offset[row])
    spoil(copy / "bootstrap", tail + DIRENT.itemsize, int(image.inodes.nid[row]).to_bytes(8, "little"))
    problems = check(copy).problems
    assert {problem.kind for problem in problems} == {"dirent"}
    assert any("'..' leads elsewhere" in problem.what for problem in problems)


def test_block_address(copy: Path) -> None:
    """A block address that is not its chunk's is found, though only the kernel would read by it."""
    image = open_image(copy)
    row = image.lookup("/big.txt")
    at = int(image.inodes.data_offset[row]) + CHUNK_ADDR.fields["block"][1]  # type: ignore[index]
    spoil(copy / "bootstrap", at, b"\xff\xff\0\0")
    (problem,) = check(copy).problems
    assert problem.kind == "pointer"
    assert problem.what == f"a block address of {0xFFFF * 4096} is not where its chunk lies"


def test_counts(copy: Path) -> None:
    """The superblock's count of files and a device's count of blocks are checked."""
    spoil(copy / "bootstrap", SUPER_OFFSET + 16, (99).to_bytes(8, "little"))
    spoil(copy / "bootstrap", DEVICE_TABLE_OFFSET + 64, (5).to_bytes(4, "little"))
    problems = check(copy).problems
    assert [problem.kind for problem in problems] == ["pointer", "blob"]
    assert "counts 99 files" in problems[0].what


@given(data=st.data())
def test_any_flip_is_survived(image_dir: Path, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever bytes of a bootstrap are overwritten, a check ends in a report."""
    folder = tmp_path_factory.mktemp("flipped")
    content = bytearray((image_dir / "bootstrap").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 8))
        content[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
    (folder / "bootstrap").write_bytes(content)
    report = check(folder, image_dir / "blobs")
    assert isinstance(report.to_dict()["problems"], list)
    shutil.rmtree(folder)
