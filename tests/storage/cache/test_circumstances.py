"""What a cache does when its surroundings are not as they should be."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.cache import DummyCache
from storage.errors import BackendError, CacheError, CacheUnavailableError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

CHUNK = 20_000


@pytest.fixture
def noise(tmp_path: Path) -> Made:
    """Two blobs of 8 chunks of 20,000 bytes that do not compress."""
    (tmp_path / "blobs").mkdir()
    dice = np.random.default_rng(2)
    return make_blobs(tmp_path / "blobs", [[dice.bytes(CHUNK) for _ in range(8)] for _ in range(2)])


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder on a file system that takes no writes."""
    if os.geteuid() != 0 or sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("a folder can be made read-only for root by root on Linux only")
    if subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True).returncode != 0:
        pytest.skip("mount is not allowed here")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("lock", [True, False])
def test_read_only_folder(lock: bool, noise: Made, tmp_path: Path) -> None:
    """What is in a read-only folder is served, the rest is read through, and nothing is tried in vain."""
    folder = tmp_path / "cache"
    cache = open_cache(noise, folder)
    read_chunks(cache, noise, [0, 1, 9])
    cache.close()
    (folder / f"{noise.infos[1].blob_id}.blob.data.chunk_map").rename(tmp_path / "away")
    if not lock:
        (folder / ".lock").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    backend = WatchedBackend(LocalFs(noise.folder))
    with read_only(folder):
        cache = open_cache(noise, folder, backend=backend, capacity=CHUNK, policy=plain_lru())
        cache.prefetch(range(16))
        cache.drain()
        read_chunks(cache, noise, range(16))
        read_chunks(cache, noise, [3])
        assert ready_rows(cache) == [0, 1]
        cache.close()
        recorder = Recorder()
        cache = open_cache(noise, folder, recorder=recorder, backend=backend)
        assert ready_rows(cache) == [0, 1]
        backend.requests.clear()
        read_chunks(cache, noise, [1, 0])
        assert backend.requests == []
        read_chunks(cache, noise, range(16))
        assert ready_rows(cache) == [0, 1]
        audit(recorder.table())
        assert_at_rest(cache)
        cache.close()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.root
def test_read_only_folder_of_an_image(image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """An image can be read with an empty folder that nothing can be put into."""
    (tmp_path / "cache").mkdir()
    with read_only(tmp_path / "cache"), open_store(image_dir, cache_dir=tmp_path / "cache") as rafs:
        for _ in range(2):
            assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_process_evicts(image_dir: Path, tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bounded folder is one process's own: another one reads through, right, and with a word in the log."""
    folder, settings = tmp_path / "cache", {"capacity": 1 << 20, "policy": plain_lru()}
    owner = open_store(image_dir, cache_dir=folder, **settings)  # type: ignore[arg-type]
    content = (tree / "big.txt").read_bytes()
    assert owner.read("/big.txt") == content
    held = owner.cache.stored
    for capacity in (None, 1 << 20):
        with open_store(image_dir, cache_dir=folder, capacity=capacity, policy=plain_lru()) as guest:
            assert isinstance(guest.cache, DummyCache)
            assert guest.read("/big.txt") == content
    assert owner.cache.stored == held
    assert len(caplog.messages) == 2
    assert "in use" in caplog.messages[0]
    owner.close()


@pytest.mark.root
def test_no_room_to_begin(image_dir: Path, tree: Path, small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no room for the cache's own files, an image is read through."""
    free = os.statvfs(small_disk)
    (small_disk / "fill").write_bytes(bytes(free.f_bavail * free.f_frsize - 4096))
    (small_disk / "cache").mkdir()
    with open_store(image_dir, cache_dir=small_disk / "cache") as rafs:
        assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
    assert any("free some space" in said for said in caplog.messages)


def test_deleted_under_us(noise: Made, tmp_path: Path) -> None:
    """A folder that is deleted while it is open serves on, and later starts empty."""
    folder = tmp_path / "cache"
    cache = open_cache(noise, folder)
    read_chunks(cache, noise, [0, 1])
    shutil.rmtree(folder)
    read_chunks(cache, noise, range(16))
    read_chunks(cache, noise, range(16))
    assert_at_rest(cache)
    cache.close()
    assert not folder.exists()
    cache = open_cache(noise, folder)
    assert ready_rows(cache) == []
    read_chunks(cache, noise, range(16))
    cache.close()


def test_data_deleted_and_its_map_not(noise: Made, tmp_path: Path) -> None:
    """A map without its data is refused by the data's name, not believed."""
    folder = tmp_path / "cache"
    cache = open_cache(noise, folder)
    read_chunks(cache, noise, [0])
    cache.close()
    path = folder / f"{noise.infos[0].blob_id}.blob.data"
    path.unlink()
    with pytest.raises(CacheError, match="is 0 bytes") as refused:
        open_cache(noise, folder)
    assert refused.value.where["path"] == path


@pytest.mark.parametrize("change", ["shorter", "longer", "version", "magic", "second magic"])
def test_map_that_is_not_ours(change: str, noise: Made, tmp_path: Path) -> None:
    """A map that is cut short, too long, or no map is refused by name; one of a later version is read."""
    folder = tmp_path / "cache"
    cache = open_cache(noise, folder)
    read_chunks(cache, noise, [0, 5])
    cache.close()
    path = folder / f"{noise.infos[0].blob_id}.blob.data.chunk_map"
    content = bytearray(path.read_bytes())
    if change == "version":
        content[4:8] = (2).to_bytes(4, "little")
    elif "magic" in change:
        content[0 if change == "magic" else 8] ^= 1
    path.write_bytes(content[:-1] if change == "shorter" else content + (b"\0" if change == "longer" else b""))
    if change == "version":
        cache = open_cache(noise, folder)
        assert ready_rows(cache) == [0, 5]
        cache.close()
        return
    with pytest.raises(CacheError, match="remove it") as refused:
        open_cache(noise, folder)
    assert refused.value.where["path"] == path


def test_clock_going_back(noise: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing depends on the time of day: with a clock that runs backwards, and files of next year, all is as ever."""
    now = iter(range(2_000_000_000, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    monkeypatch.setattr(time, "time_ns", lambda: next(now) * 10**9)
    for plan in ("exact", "reference"):
        for _ in range(2):
            cache = open_cache(noise, tmp_path / plan, plan=plan, prefetch_bandwidth=1)
            cache.prefetch(range(8))
            read_chunks(cache, noise, range(16))
            cache.drain()
            assert_at_rest(cache)
            cache.close()
            for path in (tmp_path / plan).iterdir():
                os.utime(path, (4e9, 4e9))
        assert ready_rows(cache) == list(range(16))


def descriptors() -> set[int]:
    """Which are open."""
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if Path(f"/proc/self/fd/{fd}").exists()}


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted on Linux only")
def test_few_descriptors(noise: Made, tmp_path: Path) -> None:
    """With too few descriptors opening fails by the name of a file, wherever it ends, and gives back those it took."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gc.collect()  # what earlier tests left would give descriptors back on the way
    before, refusals = descriptors(), 0
    for limit in (fd for fd in range(soft) if fd not in before):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            cache = open_cache(noise, tmp_path / "cache", backend=WatchedBackend(LocalFs(noise.folder)))
            break
        except (BackendError, CacheError) as error:
            said, path = str(error), str(error.where["path"])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "Too many open files" in said
        assert str(tmp_path) in path
        assert descriptors() == before
        refusals += 1
    assert refusals >= 4
    read_chunks(cache, noise, range(16))
    cache.close()


def test_fork_after_open(noise: Made, tmp_path: Path) -> None:
    """In the child of a fork a cache refuses by name, at once, and can be closed; the parent's goes on undisturbed."""
    held, go_on, recorder = threading.Event(), threading.Event(), Recorder()

    def hold(blob_id: str, offset: int, length: int) -> None:
        held.set()
        assert go_on.wait(60)

    backend = WatchedBackend(LocalFs(noise.folder), hold)
    cache = open_cache(noise, tmp_path / "cache", backend=backend, recorder=recorder)
    cache.prefetch(range(8))
    assert held.wait(30)
    script, write = os.pipe()
    with cache.changed:  # held in the child for ever, if it were the same one
        child = os.fork()
        if child == 0:
            said = b"no error"
            try:
                cache.prefetch([3])
                cache.drain()
                read_chunks(cache, noise, [9])
            except CacheError as error:
                cache.close()
                said = str(error).encode()
            finally:
                os.write(write, said)
                os._exit(0)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with os.fdopen(script, "rb") as pipe:
        assert pipe.read().startswith(b"was opened before a fork: open it again")
    go_on.set()
    read_chunks(cache, noise, range(16))
    cache.drain()
    audit(recorder.table())
    assert_at_rest(cache)
    cache.close()


def test_opened_again_after_a_fork(noise: Made, tmp_path: Path) -> None:
    """The child may open the folder anew, read, and leave what it read to the parent's next opening."""
    cache = open_cache(noise, tmp_path / "cache")
    read_chunks(cache, noise, [0])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = open_cache(noise, tmp_path / "cache")
            read_chunks(own, noise, [0, 8, 9])
            own.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    cache.close()
    cache = open_cache(noise, tmp_path / "cache")
    assert ready_rows(cache) == [0, 8, 9]
    cache.close()


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted on Linux only")
def test_a_thousand_at_once(tmp_path: Path) -> None:
    """1,000 images open at once: two files for each blob, one for the folder, no thread; each still reads right."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8000:
        pytest.skip(f"the system allows {hard} open files")
    (tmp_path / "blobs").mkdir()
    made = make_blobs(tmp_path / "blobs", [[bytes([n]) * 3000 for n in range(4)]])
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8000), hard))
    caches = []
    try:
        backend = WatchedBackend(LocalFs(made.folder))
        before, threads = descriptors(), threading.active_count()
        for number in range(1000):
            caches.append(open_cache(made, tmp_path / f"{number}", backend=backend))
        assert len(descriptors() - before) / 1000 <= 4
        assert threading.active_count() == threads
        for number in (0, 500, 999):
            read_chunks(caches[number], made, range(4))
    finally:
        for cache in caches:
            cache.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_unavailable_is_an_error_of_the_cache(noise: Made, tmp_path: Path) -> None:
    """Two bounded caches on one folder: the second is refused with what can be caught as either error."""
    first = open_cache(noise, tmp_path / "cache", capacity=CHUNK, policy=plain_lru())
    with pytest.raises(CacheUnavailableError, match="in use"):
        open_cache(noise, tmp_path / "cache", capacity=CHUNK, policy=plain_lru())
    first.close()
