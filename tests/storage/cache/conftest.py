"""Two blobs of chunks, short and long, text and noise; and a disk that is soon full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("a small disk can be mounted by root on Linux only")
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mount is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
