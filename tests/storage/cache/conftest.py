"""Two blobs of chunks, short and long, text and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storage.testing.blobs import Made, make_blobs


def two_blobs(folder: Path, together: int) -> Made:
    """Two blobs of 60 chunks of up to 50,000 bytes each."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 50_000, (2, 60)).tolist()
    contents = [[rng.bytes(n) if n % 2 else bytes([n % 251]) * n for n in blob] for blob in sizes]
    return make_blobs(folder, contents, together=together)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Chunks that are stored each alone."""
    return two_blobs(tmp_path_factory.mktemp("blobs"), 1)


@pytest.fixture(scope="session", params=[1, 4], ids=["alone", "batched"])
def each_made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same, and then in batches of four."""
    return two_blobs(tmp_path_factory.mktemp("blobs"), request.param)
