"""What is read ahead of an image, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.image import Image, open_image
from storage.image.build import build
from storage.plan import Batches, plan_layout, plan_options, plan_prefetch, wishes

KIB = 1 << 10


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders of noise: 5 files of 40 KiB in each, one of 300 KiB, an empty one, a link and a hard link."""
    root, dice = tmp_path_factory.mktemp("tree"), np.random.default_rng(3)
    for folder in ("a", "a/deep", "b"):
        (root / folder).mkdir()
        for number in range(5):
            (root / folder / f"{number}").write_bytes(dice.bytes(40 * KIB))
    (root / "b" / "large").write_bytes(dice.bytes(300 * KIB))
    (root / "b" / "empty").touch()
    (root / "b" / "link").symlink_to("large")
    (root / "b" / "twin").hardlink_to(root / "b" / "0")
    return root


def image_of(source: Path, folder: Path, version: int, prefetch: list[str], policy: str = "fs") -> Image:
    """The tree as an image whose prefetch table names `prefetch`."""
    build(source, folder, version=version, chunk_size=64 * KIB, prefetch=prefetch, prefetch_policy=policy)
    return open_image(folder)


@pytest.fixture(params=[5, 6])
def image(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Image:
    """An image of either version whose table names one folder and one file."""
    return image_of(source, tmp_path / "image", request.param, ["/a", "/b/large"])


def chunks_of(image: Image, *paths: str) -> list[int]:
    """Chunk rows of files, in their order."""
    return [row for path in paths for row in image.segments(image.lookup(path), 0, 1 << 30)[0]]


def planned(image: Image, plan: str = "exact", batch: int = 1 << 20, **wish: object) -> Batches:
    """What is read ahead."""
    options = plan_options(plan, 1 << 20, image.version, batch)
    return plan_prefetch(image, plan_layout(image.chunks), options, **wish)  # type: ignore[arg-type]


def test_table(image: Image) -> None:
    """By default the table's files and all below its folders, a folder's files first; each chunk once."""
    names = [f"/a/{n}" for n in range(5)] + [f"/a/deep/{n}" for n in range(5)] + ["/b/large"]
    (wish,) = wishes(image)
    assert wish.rows is not None
    assert wish.rows.tolist() == sorted(chunks_of(image, *names))
    assert planned(image).rows.tolist() == wish.rows.tolist()


def test_list_takes_the_tables_place(image: Image) -> None:
    """A list of files is read instead, hard links once, links and empty files not at all."""
    listed = [image.lookup(path) for path in ("/b/twin", "/b/0", "/b/link", "/b/empty")]
    assert planned(image, files=listed).rows.tolist() == chunks_of(image, "/b/0")
    assert len(planned(image, files=[])) == 0


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_everything(plan: str, image: Image) -> None:
    """With everything, or for the root alone, all chunks are read; the table's come first."""
    batches = planned(image, plan, everything=True)
    assert set(batches.rows.tolist()) == set(range(len(image.chunks)))
    assert set(planned(image, plan, files=[0]).rows.tolist()) == set(range(len(image.chunks)))
    first = planned(image, plan)
    assert batches.rows[: len(first.rows)].tolist() == first.rows.tolist()
    if plan == "exact":
        assert len(batches.rows) == len(image.chunks)


def test_root_among_others(source: Path, tmp_path: Path) -> None:
    """A table that names the root among others leaves nothing for later; one that names it alone is everything."""
    image = image_of(source, tmp_path / "some", 6, ["/", "/b"])
    several = replace(image, prefetch=np.array([0, image.lookup("/b")], np.int32))
    assert [wish.rows is None for wish in wishes(several, everything=True)] == [False]
    alone = replace(image, prefetch=np.array([0], np.int32))
    assert [wish.rows is None for wish in wishes(alone, step=512 * KIB)] == [True, True]


def test_blob_range(source: Path, tmp_path: Path) -> None:
    """A range that a v6 image's blob wants comes before all else, from the blob's beginning, in steps of 1 MiB."""
    image = image_of(source, tmp_path / "image", 6, ["/a"])
    wanting = replace(image, infos=tuple(replace(info, prefetch_size=5 << 18) for info in image.infos))
    first, second, files = wishes(wanting)
    assert [first.offset, first.length] == [0, 1 << 20]
    assert [second.offset, second.length] == [1 << 20, 1 << 18]
    assert files.rows is not None
    assert planned(wanting).rows.tolist()[:3] == [0, 1, 2]


def test_portions(source: Path, tmp_path: Path) -> None:
    """Files are handed on in portions of more than 1024 chunks, each portion sorted by itself."""
    image = image_of(source, tmp_path / "image", 6, ["/a"])
    rows = image.inodes.first_extent.copy()
    counts = image.inodes.extents.copy()
    file = image.lookup("/b/large")
    extents = image.extents
    many = replace(
        image,
        inodes=replace(
            image.inodes,
            first_extent=np.where(np.arange(len(rows)) == file, len(extents), rows),
            extents=np.where(np.arange(len(rows)) == file, 2000, counts),
        ),
        extents=type(extents)(
            *(
                np.concatenate([column, np.resize(column[rows[file] : rows[file] + 1], 2000)])
                for column in (extents.inode, extents.offset, extents.length, extents.chunk)
            )
        ),
    )
    portions = wishes(many, [many.lookup("/a/0"), file, many.lookup("/b")])
    assert [len(wish.rows) for wish in portions if wish.rows is not None] == [2001, 2005]


@given(start=st.integers(0, 9), size=st.integers(1, 10), batch=st.sampled_from([128 * KIB, 200 * KIB, 1 << 20]))
def test_batches_are_whole(start: int, size: int, batch: int, small: Image) -> None:
    """However a list is cut, its batches are the list, of neighbours each, and of no more than a batch and a chunk."""
    files = [small.lookup(path) for path in [f"/a/{n}" for n in range(5)] + [f"/b/{n}" for n in range(5)]]
    batches = planned(small, batch=batch, files=files[start : start + size])
    layout = plan_layout(small.chunks)
    for first, end in zip(batches.first, batches.first[1:], strict=False):
        rows = batches.rows[first:end]
        assert len(rows)
        assert (np.diff(rows) == 1).all()
        assert layout.end[rows[-1]] - layout.start[rows[0]] < batch + 64 * KIB


@pytest.fixture(scope="module")
def small(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A v6 image."""
    return image_of(source, tmp_path_factory.mktemp("small"), 6, [])
