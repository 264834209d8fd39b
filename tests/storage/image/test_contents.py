"""Tables of contents, and the digests that a blob has of its own chunks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import FormatError, IntegrityError, StorageError
from storage.factory import open_store
from storage.image import chunk_digests, locate, open_bootstrap, open_image
from storage.image._contents import file_range, read_toc
from storage.image.build import build
from storage.image.verbs import check

FILES = {"a": b"alpha" * 3000, "b": b"beta" * 2000, "c": b"gamma" * 100}


def tree(folder: Path, names: str) -> Path:
    """A directory of some of the files."""
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(FILES[name])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose blob has a table of contents."""
    folder = tmp_path_factory.mktemp("toc")
    build(tree(folder / "tree", "abc"), folder / "image", toc=True)
    return folder / "image"


@pytest.fixture
def part(whole: Path, tmp_path: Path) -> Path:
    """An image that uses one chunk of that blob, and none of its own."""
    build(tree(tmp_path / "tree", "b"), tmp_path / "image", chunk_dict=whole / "bootstrap")
    shutil.copytree(whole / "blobs", tmp_path / "image" / "blobs", dirs_exist_ok=True)
    return tmp_path / "image"


def test_names_every_part(whole: Path) -> None:
    """The table says where chunks, blob.meta, its header and the digests lie, one behind the other."""
    (blob,) = (whole / "blobs").iterdir()
    contents = read_toc(*file_range(blob))
    assert contents is not None
    assert list(contents.parts) == ["image.blob", "blob.meta", "blob.meta.header", "blob.digest"]
    (info,) = open_bootstrap(whole).infos
    assert (contents.size, contents.digest) == (info.toc_size, info.toc_digest)
    digests = chunk_digests(*file_range(blob), info)
    assert digests is not None
    assert (digests == open_image(whole).chunks.digest).all()


def test_digests_of_chunks_that_no_file_uses(part: Path, whole: Path) -> None:
    """Chunks that the bootstrap does not name have the digests of their blob, on disk and in a store."""
    image = open_image(part)
    assert image.chunks.has_digest.all()
    assert (image.chunks.digest == open_image(whole).chunks.digest).all()
    assert open_bootstrap(part).image().chunks.has_digest.sum() == 1
    with open_store(part, cache_dir=part / "cache") as rafs:
        assert rafs.image.chunks.has_digest.all()
        assert rafs.read("b") == FILES["b"]
    (kept,) = (part / "cache").glob("*.blob.digest")
    assert np.fromfile(kept, np.uint8).tobytes() == image.chunks.digest.tobytes()
    assert check(part, deep=True).verified == len(FILES)


def test_a_changed_chunk_that_no_file_uses(part: Path) -> None:
    """Its digest shows that it was changed, though nothing in the bootstrap does."""
    (blob,) = (part / "blobs").iterdir()
    content = bytearray(blob.read_bytes())
    content[int(open_image(part).chunks.compressed_offset[0]) + 9] ^= 1
    blob.write_bytes(content)
    assert [problem.kind for problem in check(part, deep=True).problems] == ["chunk"]


def test_changed_digests(part: Path) -> None:
    """A digest that was changed is not believed."""
    (blob,) = (part / "blobs").iterdir()
    contents = read_toc(*file_range(blob))
    assert contents is not None
    content = bytearray(blob.read_bytes())
    content[contents.parts["blob.digest"].offset] ^= 1
    blob.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"blob\.digest"):
        open_image(part)


@pytest.mark.parametrize("inline", [False, True])
@settings(max_examples=60, deadline=2000)
@given(data=st.data())
def test_broken_tables(inline: bool, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is changed in the table or cut off it, opening gives the same image, or our error."""
    folder = tmp_path_factory.mktemp("broken")
    build(tree(folder / "tree", "abc"), folder / "image", toc=True, inline=inline)
    (blob,) = (folder / "image" / "blobs").iterdir()
    content = bytearray(blob.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[-data.draw(st.integers(1, 512 + 5 * 128))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 1, 512, 700]))
    blob.write_bytes(content[: len(content) - cut])
    try:
        assert len(open_image(folder / "image").entries) == len(FILES)
    except StorageError as error:
        assert error.message


def test_names_a_part_twice(tmp_path: Path) -> None:
    """A table that has a name twice is refused."""
    build(tree(tmp_path / "tree", "abc"), tmp_path / "image", toc=True, inline=True)
    (blob,) = (tmp_path / "image" / "blobs").iterdir()
    content = blob.read_bytes()
    at = content.rindex(b"blob.digest\0")
    blob.write_bytes(content[:at] + b"image.boot\0\0" + content[at + 12 :])
    with pytest.raises(FormatError, match="twice"):
        locate(blob)
