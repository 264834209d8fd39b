"""Reads that are served at once, with no look at the decider: what they may be, and when they end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from storage.cache import CacheKind
from storage.cache._file import Descriptor
from storage.device import BlobDevice, BlobIoVec
from storage.errors import CacheError
from storage.plan import Ahead
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import read_chunks
from storage.testing.lru import plain_lru


@pytest.mark.parametrize("bounded", [False, True])
def test_only_ready_whole_and_alone(bounded: bool, noise: Made, tmp_path: Path) -> None:
    """One ready chunk into one buffer of its length is read at once; anything else is not, and nothing is done."""
    size = len(noise.contents[0])
    settings = {"capacity": size, "policy": plain_lru()} if bounded else {}
    cache = open_cache(noise, tmp_path, **settings)
    buffer = bytearray(size)
    assert cache.read_at_once((0,), (0,), (size,), (buffer,), None) == -1
    read_chunks(cache, noise, [0])
    assert cache.read_at_once((0,), (0,), (size,), (buffer,), None) == size
    assert buffer == noise.contents[0]
    assert cache.read_at_once((0,), (5,), (7,), (buffer,), None) == -1
    assert cache.read_at_once((0, 0), (0, 5), (5, 7), (bytearray(12),), None) == -1
    assert cache.read_at_once((0,), (0,), (12,), (bytearray(5), bytearray(7)), None) == -1
    assert cache.metrics()["total"] == 2
    cache.close()


def test_not_where_more_is_to_be_done(noise: Made, tmp_path: Path) -> None:
    """Where what is there must be verified, or a policy hears of every read, nothing is read at once."""
    checked = open_cache(noise, tmp_path / "checked", kind=CacheKind(validate=True))
    heard = open_cache(noise, tmp_path / "heard")
    buffer = bytearray(len(noise.contents[0]))
    for cache in (checked, heard):
        read_chunks(cache, noise, [0])
    assert heard.read_at_once((0,), (0,), (len(buffer),), (buffer,), None) == len(buffer)
    heard.answer(Ahead(lambda *_: 0, np.zeros(1, np.int64), np.zeros(1)))
    for cache in (checked, heard):
        assert cache.read_at_once((0,), (0,), (len(buffer),), (buffer,), None) == -1
        cache.close()


def _held(folder: Path) -> set[str]:
    """Names of files of a folder that this process has open."""
    links = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    return {link.name for link in links if link.parent == folder}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are looked up in /proc")
def test_closed(noise: Made, tmp_path: Path) -> None:
    """A closed cache reads nothing at once, says that it is closed, and holds no descriptor, whoever keeps it."""
    cache = open_cache(noise, tmp_path)
    read_chunks(cache, noise, [0])
    assert {file.path.name for file in cache.files} < _held(tmp_path)
    kept, buffer = cache.read_at_once, bytearray(len(noise.contents[0]))
    cache.close()
    assert kept((0,), (0,), (len(buffer),), (buffer,), None) == -1
    with pytest.raises(CacheError, match="is closed"):
        cache.read((0,), (0,), (len(buffer),), (buffer,))
    assert _held(tmp_path) == set()


def test_a_descriptor_is_held(tmp_path: Path) -> None:
    """A file stays open as long as somebody holds its descriptor, and no longer."""
    (tmp_path / "file").write_bytes(b"held")
    first = Descriptor(os.open(tmp_path / "file", os.O_RDONLY))
    second, number = first, int(first)
    del first
    assert os.pread(second, 4, 0) == b"held"
    del second
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_swapped_under_readers(noise: Made, tmp_path: Path) -> None:
    """Where a cache is swapped and closed under readers, and other files take its numbers, no byte is wrong."""
    size = len(noise.contents[0])
    caches = [open_cache(noise, tmp_path / str(number)) for number in range(3)]
    for cache in caches:
        read_chunks(cache, noise, [0, 1])
        cache.close()
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    device = BlobDevice(noise.infos, noise.blobs, noise.chunks, open_cache(noise, tmp_path / "0"))
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        vector, buffer = BlobIoVec(noise.infos[0], noise.chunks, [0], [0], [size]), bytearray(size)
        try:
            while not done.is_set() and not wrong:
                device.read_to(vector, [buffer])
                if buffer != noise.contents[0]:
                    wrong.append(bytes(buffer[:16]))
        except Exception as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    others = []
    for number in range(100):
        device.update(open_cache(noise, tmp_path / str(number % 3)))
        others.append(os.open(tmp_path / "other", os.O_RDONLY))
    done.set()
    for reader in readers:
        reader.join()
    for fd in others:
        os.close(fd)
    device.cache.close()
    assert wrong == []
