"""A blob in the cache by ranges, and a cache that is replaced while it is read."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.backend import LocalFs
from storage.cache import CacheKind, DummyCache, FileCache
from storage.device import BlobDevice, BlobIoRange, BlobIoVec, BlobPrefetchRequest
from storage.errors import BackendError, CacheError, ConfigError, IntegrityError, UnsupportedError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.plan import plan_options
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, ready_rows

SIZE = 9000


@pytest.fixture(params=[1, 3], ids=["alone", "batched"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Two blobs of nine chunks of noise."""
    (tmp_path / "blobs").mkdir()
    dice = np.random.default_rng(9)
    contents = [[dice.bytes(SIZE) for _ in range(9)] for _ in range(2)]
    return make_blobs(tmp_path / "blobs", contents, together=request.param)


@pytest.fixture(params=["exact", "reference"])
def plan(request: pytest.FixtureRequest) -> str:
    """Both plans."""
    return str(request.param)


@pytest.fixture
def backend(made: Made) -> WatchedBackend:
    """Where they are."""
    return WatchedBackend(LocalFs(made.folder))


@pytest.fixture
def recorder() -> Recorder:
    """Where events go."""
    return Recorder()


@pytest.fixture
def cache(made: Made, plan: str, backend: WatchedBackend, recorder: Recorder, tmp_path: Path) -> Iterator[FileCache]:
    """Their cache, empty; in the end at rest, and its books balanced."""
    opened = open_cache(made, tmp_path / "cache", plan=plan, backend=backend, recorder=recorder)
    yield opened
    assert_at_rest(opened)
    audit(recorder.table())
    opened.close()


@pytest.fixture
def device(made: Made, cache: FileCache) -> BlobDevice:
    """The device over it."""
    return BlobDevice(made.infos, made.blobs, made.chunks, cache)


def touched(made: Made, offset: int, size: int, compressed: bool) -> set[int]:
    """Rows of the second blob that a range touches."""
    chunks = made.chunks
    starts, sizes = (
        (chunks.compressed_offset, chunks.compressed_size)
        if compressed
        else (chunks.uncompressed_offset, chunks.uncompressed_size)
    )
    rows = np.flatnonzero((chunks.blob == 1) & (starts < offset + size) & (starts + sizes > offset))
    return set(rows.tolist())


@pytest.mark.parametrize("compressed", [True, False])
def test_ranges(compressed: bool, made: Made, device: BlobDevice, cache: FileCache, backend: WatchedBackend) -> None:
    """When a call returns, whatever its range touches is there; again it asks for nothing; the end is in reach."""
    blob, info, dice = device.blob_object(1), made.infos[1], random.Random(2)
    fetch = blob.fetch_range_compressed if compressed else blob.fetch_range_uncompressed
    end = info.compressed_size if compressed else info.uncompressed_size - 4096
    assert not blob.is_all_data_ready()
    for offset, size in [*((at, dice.randint(1, 20_000)) for at in dice.sample(range(end - 20_000), 6)), (end - 1, 1)]:
        fetch(offset, size)
        assert touched(made, offset, size, compressed) <= set(ready_rows(cache))
        before = len(backend.requests)
        fetch(offset, size)
        assert len(backend.requests) == before
    fetch(0, end)
    assert blob.is_all_data_ready()
    assert not device.blob_object(0).is_all_data_ready()
    assert {blob_id for blob_id, _, _ in backend.requests} == {info.blob_id}
    assert blob.base_offset == 0


@pytest.mark.parametrize(("offset", "size"), [(-1, 5), (0, 0), (0, 1 << 40), (1 << 40, 1)])
def test_no_such_range(offset: int, size: int, device: BlobDevice, backend: WatchedBackend) -> None:
    """What is not in the blob is refused, and nothing asked for."""
    for fetch in (device.blob_object(1).fetch_range_compressed, device.blob_object(1).fetch_range_uncompressed):
        with pytest.raises(ConfigError):
            fetch(offset, size)
    assert backend.requests == []


def test_no_chunk_there(made: Made, device: BlobDevice, backend: WatchedBackend) -> None:
    """In the padding behind a chunk there is nothing to fetch; a blob that there is not is refused."""
    device.blob_object(1).fetch_range_uncompressed(made.infos[1].uncompressed_size - 10, 10)
    assert backend.requests == []
    with pytest.raises(ConfigError, match="no such blob"):
        device.blob_object(2)


def test_ahead(made: Made, device: BlobDevice, cache: FileCache, recorder: Recorder) -> None:
    """As a prefetch, the cause is prefetch, and the chunks are there when it returns."""
    blob = device.blob_object(1)
    blob.prefetch_chunks(BlobIoRange.of(made.infos[1], made.chunks, 9, 11))
    blob.fetch_range_compressed(int(made.chunks.compressed_offset[15]), 10, prefetch=True)
    assert {9, 10, 11, 15} <= set(ready_rows(cache))
    events = recorder.table().to_pandas()
    assert set(events[events["kind"] == "fetch"]["cause"]) == {"prefetch"}


def test_synchronous(made: Made, device: BlobDevice, cache: FileCache) -> None:
    """Ranges of several blobs at once; those that are empty or of other blobs are passed over."""
    device.fetch_range_synchronous(
        [
            BlobPrefetchRequest(made.infos[0].blob_id, 0, 10),
            BlobPrefetchRequest("elsewhere", 0, 10),
            BlobPrefetchRequest(made.infos[0].blob_id, 5, 0),
            BlobPrefetchRequest(made.infos[1].blob_id, 20_000, 10_000),
        ]
    )
    assert {0} | touched(made, 20_000, 10_000, compressed=False) <= set(ready_rows(cache))


def test_waits_for_others(made: Made, plan: str, tmp_path: Path) -> None:
    """What a reader is fetching already is waited for, not fetched again."""
    gate, entered = threading.Event(), threading.Event()

    def hold(*asked: object) -> None:
        entered.set()
        assert gate.wait(20)

    backend = WatchedBackend(LocalFs(made.folder), hold)
    cache = open_cache(made, tmp_path / "cache", backend=backend, plan=plan)
    device = BlobDevice(made.infos, made.blobs, made.chunks, cache)
    iovec = BlobIoVec(made.infos[1], made.chunks, [9], [0], [SIZE])
    reader = threading.Thread(target=device.read_to, args=(iovec, [bytearray(SIZE)]))
    reader.start()
    assert entered.wait(20)
    fetcher = threading.Thread(target=device.blob_object(1).fetch_range_uncompressed, args=(0, 10))
    fetcher.start()
    fetcher.join(0.1)
    assert fetcher.is_alive()
    gate.set()
    for thread in (reader, fetcher):
        thread.join(20)
        assert not thread.is_alive()
    assert len(backend.requests) == 1
    cache.close()


def test_failures(made: Made, plan: str, tmp_path: Path) -> None:
    """A backend that fails, a chunk that is spoilt there, and no cache at all are errors of the call."""
    cache = open_cache(made, tmp_path / "cache", backend=WatchedBackend(LocalFs(made.folder), refuse), plan=plan)
    with pytest.raises(BackendError):
        BlobDevice(made.infos, made.blobs, made.chunks, cache).blob_object(0).fetch_range_uncompressed(0, 10)
    assert_at_rest(cache)
    cache.close()
    path = made.folder / made.infos[0].blob_id
    path.write_bytes(bytes(path.stat().st_size))
    cache = open_cache(made, tmp_path / "cache", plan=plan)
    with pytest.raises((IntegrityError, CacheError)):
        BlobDevice(made.infos, made.blobs, made.chunks, cache).blob_object(0).fetch_range_uncompressed(0, 10)
    assert_at_rest(cache)
    cache.close()
    readers = [LocalFs(made.folder).get_reader(info.blob_id) for info in made.infos]
    nothing = DummyCache(made.infos, made.chunks, readers, plan_options(plan, 0))
    blob = BlobDevice(made.infos, made.blobs, made.chunks, nothing).blob_object(0)
    assert not blob.is_all_data_ready()
    with pytest.raises(UnsupportedError):
        blob.fetch_range_uncompressed(0, 10)


def test_update_under_readers(made: Made, tmp_path: Path) -> None:
    """Twenty swaps between kinds of cache under four readers: every byte right, each cache closed once it is idle."""
    kinds = [CacheKind(), CacheKind(compressed=True), CacheKind(validate=True)]
    opened = [open_cache(made, tmp_path / "c0", amplify_io=1 << 20)]
    device = BlobDevice(made.infos, made.blobs, made.chunks, opened[0])
    stop, failures, reads = threading.Event(), [], []

    def read(seed: int) -> None:
        dice = random.Random(seed)
        try:
            while not stop.is_set():
                row = dice.randrange(18)
                buffer = bytearray(SIZE)
                device.read_to(BlobIoVec(made.infos[row // 9], made.chunks, [row], [0], [SIZE]), [buffer])
                assert buffer == made.contents[row]
                reads.append(row)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 21):
        before = len(reads)
        opened.append(open_cache(made, tmp_path / f"c{number}", kind=kinds[number % 3]))
        opened[-1].prefetch(range(18))
        device.update(opened[-1])
        assert device.cache is opened[-1]
        while len(reads) < before + 20 and not failures:
            stop.wait(0.001)
    stop.set()
    for reader in readers:
        reader.join(20)
    assert failures == []
    opened[-1].drain()  # which nobody stopped
    for cache in opened:
        assert_at_rest(cache)
    opened[-1].close()


def test_update_waits(made: Made, tmp_path: Path) -> None:
    """A read that is under way ends on the cache it began with; only then does the swap return."""
    gate, entered = threading.Event(), threading.Event()

    def hold(*asked: object) -> None:
        entered.set()
        assert gate.wait(20)

    old = open_cache(made, tmp_path / "old", backend=WatchedBackend(LocalFs(made.folder), hold))
    device = BlobDevice(made.infos, made.blobs, made.chunks, old)
    buffer = bytearray(SIZE)
    iovec = BlobIoVec(made.infos[0], made.chunks, [0], [0], [SIZE])
    reader = threading.Thread(target=device.read_to, args=(iovec, [buffer]))
    reader.start()
    assert entered.wait(20)
    new = open_cache(made, tmp_path / "new")
    swap = threading.Thread(target=device.update, args=(new,))
    swap.start()
    swap.join(0.1)
    assert swap.is_alive()
    other = bytearray(SIZE)
    device.read_to(iovec, [other])
    gate.set()
    for thread in (reader, swap):
        thread.join(20)
        assert not thread.is_alive()
    assert buffer == other == made.contents[0]
    assert ready_rows(new)
    new.close()


def test_update_of_a_store(image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """A store goes on with another's backend and cache, and closes what it had; another image's is refused."""
    closed = []
    with open_store(image_dir, cache_dir=tmp_path / "old") as rafs:
        rafs.owned.append(lambda: closed.append("old"))
        rafs.read("/copy.txt")
        other = open_store(image_dir, cache_dir=None)
        other.owned.append(lambda: closed.append("new"))
        rafs.update(other)
        assert closed == ["old"]
        assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
        assert isinstance(rafs.cache, DummyCache)
        assert rafs.device.cache is rafs.cache
    assert closed == ["old", "new"]
