"""A blob.meta that cannot be had at first is asked for again."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.errors import BackendError, MissingBlobError
from storage.factory import open_store
from storage.testing.backends import WatchedBackend, refuse


@pytest.mark.parametrize("kept", [True, False])
def test_bad_line(kept: bool, image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """Four failures are borne, and the image opens; with a cache and without."""

    def fails_four_times(blob_id: str, offset: int, length: int) -> None:
        if len(backend.requests) <= 4:
            raise BackendError("the line is bad", blob=blob_id)

    backend = WatchedBackend(LocalFs(image_dir / "blobs"), fails_four_times)
    with open_store(image_dir, cache_dir=tmp_path / "cache" if kept else None, backend=backend) as rafs:
        assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
    assert len(set(backend.requests[:5])) == 1
    assert (tmp_path / "cache").exists() == kept


def test_gone(image_dir: Path, tmp_path: Path) -> None:
    """After five failures that is the error; a blob that is not there is not asked for again."""
    backend = WatchedBackend(LocalFs(image_dir / "blobs"), refuse)
    with pytest.raises(BackendError, match="the backend was asked"):
        open_store(image_dir, cache_dir=tmp_path, backend=backend)
    assert len(backend.requests) == 5
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingBlobError):
        open_store(image_dir / "bootstrap", tmp_path / "none", cache_dir=tmp_path / "cache")
