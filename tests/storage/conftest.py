"""What the tests of several rooms read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from storage.testing.blobs import Made, make_blobs


@pytest.fixture
def noise(tmp_path: Path) -> Made:
    """A blob of 20 chunks of 40,000 bytes that do not compress."""
    (tmp_path / "blobs").mkdir()
    dice = np.random.default_rng(2)
    return make_blobs(tmp_path / "blobs", [[dice.bytes(40_000) for _ in range(20)]])
