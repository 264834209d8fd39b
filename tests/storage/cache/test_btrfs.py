"""A file system with quotas, where blocks can be shared: what is over quota is read through, copies take no room."""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.events import Recorder, audit
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows

CHUNK = 128 << 10
CHUNKS = 32


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A btrfs of 256 MiB with quotas, on a loop device."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mkfs.btrfs") is None:
        pytest.skip("a btrfs is made by root on Linux only, with btrfs-progs")
    folder = tmp_path_factory.mktemp("btrfs")
    (folder / "disk").mkdir()
    with (folder / "image").open("wb") as image:
        image.truncate(256 << 20)
    steps = (
        ["mkfs.btrfs", "-q", str(folder / "image")],
        ["mount", "-o", "loop", str(folder / "image"), str(folder / "disk")],
    )
    for step in steps:
        if subprocess.run(step, capture_output=True).returncode != 0:
            pytest.skip(f"{step[0]} does not work here")
    try:
        subprocess.run(["btrfs", "quota", "enable", str(folder / "disk")], check=True, capture_output=True)
        yield folder / "disk"
    finally:
        subprocess.run(["umount", "-l", str(folder / "disk")], check=True)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A blob of 32 chunks of 128 KiB of noise."""
    dice = random.Random(8)
    return make_blobs(tmp_path_factory.mktemp("blobs"), [[dice.randbytes(CHUNK) for _ in range(CHUNKS)]])


def limit(folder: Path, size: str) -> None:
    """Let a subvolume have so many bytes."""
    subprocess.run(["btrfs", "qgroup", "limit", size, str(folder)], check=True, capture_output=True)


def test_over_quota(disk: Path, noise: Made, caplog: pytest.LogCaptureFixture) -> None:
    """Where the quota is used up, reads go through and that is said once; with more of it, chunks are kept again."""
    folder = disk / "few"
    subprocess.run(["btrfs", "subvolume", "create", str(folder)], check=True, capture_output=True)
    limit(folder, "2M")
    recorder, backend = Recorder(), WatchedBackend(LocalFs(noise.folder))
    cache = open_cache(noise, folder / "cache", backend=backend, recorder=recorder)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for row in range(CHUNKS):
                read_chunks(cache, noise, [row])
    assert [os.strerror(errno.EDQUOT) in message for message in caplog.messages] == [True]
    kept = len(ready_rows(cache))
    assert 0 < kept < 16
    assert len(backend.requests) == 2 * CHUNKS - kept
    assert_at_rest(cache)
    audit(recorder.table())
    limit(folder, "none")
    read_chunks(cache, noise, range(CHUNKS))
    assert len(ready_rows(cache)) == CHUNKS
    cache.close()
    cache = open_cache(noise, folder / "cache", backend=WatchedBackend(LocalFs(noise.folder), refuse))
    read_chunks(cache, noise, range(CHUNKS))
    cache.close()


def shared(folder: Path) -> int:
    """Bytes of a folder's files that are in others, too."""
    command = ["btrfs", "filesystem", "du", "--raw", "-s", str(folder)]
    subprocess.run(["sync", "-f", str(folder)], check=True)
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    total, exclusive = (int(field) for field in line.split()[:2])
    return total - exclusive


def test_copies_share_blocks(disk: Path, noise: Made, tmp_path: Path) -> None:
    """A chunk that another cache file has is a reference to its blocks: 32 of 32 take no room of their own."""
    other = make_blobs(tmp_path, [[b"one more" * 100, *noise.contents]])
    index = disk / "chunks.db"
    cache = open_cache(noise, disk / "one", dedup=index)
    read_chunks(cache, noise, range(CHUNKS))
    cache.close()
    cache = open_cache(other, disk / "two", dedup=index, backend=WatchedBackend(LocalFs(tmp_path), refuse))
    read_chunks(cache, other, range(1, CHUNKS + 1))
    cache.close()
    assert shared(disk / "two") == CHUNKS * CHUNK
    shutil.rmtree(disk / "one")
    cache = open_cache(other, disk / "two")
    read_chunks(cache, other, range(CHUNKS + 1))
    cache.close()
