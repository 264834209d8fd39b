"""Two blobs of chunks, short and long, text and noise."""

from __future__ import annotations

import numpy as np
import pytest

from storage.testing.blobs import Made, make_blobs


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two blobs of 60 chunks of up to 50,000 bytes each."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 50_000, (2, 60)).tolist()
    contents = [[rng.bytes(n) if n % 2 else bytes([n % 251]) * n for n in blob] for blob in sizes]
    return make_blobs(tmp_path_factory.mktemp("blobs"), contents)
