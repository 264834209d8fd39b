"""Removing what no image needs from a cache folder."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.cache import collect_garbage
from storage.errors import CacheError, CacheUnavailableError
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import read_chunks, ready_rows


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Three blobs of noise."""
    (tmp_path / "blobs").mkdir()
    dice = random.Random(5)
    return make_blobs(tmp_path / "blobs", [[dice.randbytes(9000) for _ in range(4)] for _ in range(3)])


def filled(made: Made, folder: Path) -> list[str]:
    """A cache with everything in it; the names of its files."""
    cache = open_cache(made, folder)
    read_chunks(cache, made, range(12))
    cache.close()
    (folder / "notes.txt").write_text("mine")
    return sorted(path.name for path in folder.iterdir())


def test_only_what_is_unused(made: Made, tmp_path: Path) -> None:
    """Of three blobs of which images need two, the third's files go, maps first; strangers' files and the rest stay."""
    folder = tmp_path / "cache"
    before = filled(made, folder)
    images = [made.infos[:1], made.infos[1:2]]
    gone = made.infos[2].blob_id
    planned = collect_garbage(folder, images, dry_run=True)
    assert [unused.path.name for unused in planned] == [f"{gone}.blob.data.chunk_map", f"{gone}.blob.data"]
    assert planned[1].size >= 4 * 9000
    assert sorted(path.name for path in folder.iterdir()) == before
    assert collect_garbage(folder, images) == planned
    assert sorted(path.name for path in folder.iterdir()) == [name for name in before if not name.startswith(gone)]
    assert collect_garbage(folder, images) == []
    cache = open_cache(made, folder)
    assert ready_rows(cache) == list(range(8))
    cache.close()


def test_not_while_it_is_used(made: Made, tmp_path: Path) -> None:
    """A folder that somebody has open is left alone."""
    before = filled(made, tmp_path / "cache")
    cache = open_cache(made, tmp_path / "cache")
    with pytest.raises(CacheUnavailableError, match="in use"):
        collect_garbage(tmp_path / "cache", [made.infos[:1]])
    cache.close()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == before


def test_not_in_a_strangers_folder(made: Made, tmp_path: Path) -> None:
    """A folder that holds blobs, and none of the images', is not cleaned; nor is one that is not there."""
    before = filled(made, tmp_path / "cache")
    (tmp_path / "other").mkdir()
    other = make_blobs(tmp_path / "other", [[b"something else"]])
    with pytest.raises(CacheError, match="another image's"):
        collect_garbage(tmp_path / "cache", [other.infos])
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == before
    with pytest.raises(CacheError, match="no such"):
        collect_garbage(tmp_path / "nowhere", [made.infos])
