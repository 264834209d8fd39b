"""What goes wrong around a cache: one clear error that names it, nothing kept, nothing left behind."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from storage.backend import LocalFs
from storage.errors import BackendError, CacheError, IntegrityError, MissingBlobError
from storage.events import Recorder, audit
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

TEXT = 2  # of the chunks below, one that is stored compressed


@pytest.fixture
def blob(tmp_path: Path) -> Made:
    """A blob of its own: eight chunks of 20,000 bytes, every third one text."""
    (tmp_path / "blobs").mkdir()
    dice = np.random.default_rng(4)
    chunks = [b"lazy loading " * 1538 + b"......" if row % 3 == TEXT else dice.bytes(20_000) for row in range(8)]
    return make_blobs(tmp_path / "blobs", [chunks])


def spoil(made: Made, row: int, at: int = 100) -> None:
    """Change a byte of a stored chunk."""
    path = made.folder / made.infos[0].blob_id
    data = bytearray(path.read_bytes())
    data[int(made.chunks.compressed_offset[row]) + at % int(made.chunks.compressed_size[row])] ^= 0x55
    path.write_bytes(data)


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("row", [3, TEXT, 5])
def test_wrong_bytes(row: int, plan: str, blob: Made, tmp_path: Path) -> None:
    """A chunk that is not what its digest says fails its reads, each of them, by blob and chunk, and is not kept.

    Chunks that were fetched along with it are kept, and are right.
    """
    spoil(blob, row)
    recorder = Recorder()
    cache = open_cache(blob, tmp_path / "cache", plan=plan, amplify_io=1 << 20, recorder=recorder)
    for _ in range(2):
        with pytest.raises(IntegrityError) as refused:
            read_chunks(cache, blob, [row])
        where = refused.value.where
        assert (where["blob"], where["chunk"]) == (blob.infos[0].blob_id, row)
        assert_at_rest(cache)
    read_chunks(cache, blob, [r for r in range(8) if r != row])
    assert ready_rows(cache) == [r for r in range(8) if r != row]
    assert_at_rest(cache)
    audit(recorder.table())
    cache.close()


def test_wrong_bytes_fetched_along(blob: Made, tmp_path: Path) -> None:
    """A bad chunk within a widened request does not fail the read that did not ask for it."""
    spoil(blob, 4)
    recorder = Recorder()
    cache = open_cache(blob, tmp_path / "cache", amplify_io=1 << 20, recorder=recorder)
    read_chunks(cache, blob, [0])
    assert ready_rows(cache) == [0, 1, 2, 3, 5, 6, 7]
    failures = recorder.table().to_pandas().query("kind == 'failure'")
    assert list(failures["chunk"]) == [4]
    assert_at_rest(cache)
    cache.close()


def test_wrong_checksum(blob: Made, tmp_path: Path) -> None:
    """Where a CRC32C is known it must hold as well."""
    chunks = blob.chunks
    wrong = chunks.has_crc32c.copy()
    wrong[1] = True
    made = blob._replace(
        chunks=type(chunks)(**{f: getattr(chunks, f) for f in chunks.__slots__} | {"has_crc32c": wrong})
    )
    cache = open_cache(made, tmp_path / "cache")
    with pytest.raises(IntegrityError) as refused:
        read_chunks(cache, made, [1])
    assert refused.value.where["chunk"] == 1
    read_chunks(cache, made, [0])
    cache.close()


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_short_blob(plan: str, blob: Made, tmp_path: Path) -> None:
    """A blob that ends early fails the reads past its end, by path, blob and offset; the others are served."""
    path = blob.folder / blob.infos[0].blob_id
    end = int(blob.chunks.compressed_offset[6]) + 10
    os.truncate(path, end)
    cache = open_cache(blob, tmp_path / "cache", plan=plan)
    with pytest.raises(BackendError, match="ends early") as refused:
        read_chunks(cache, blob, [6, 7])
    assert refused.value.where == {"path": path, "blob": path.name, "offset": end}
    assert_at_rest(cache)
    if plan == "exact":
        read_chunks(cache, blob, range(6))
        assert ready_rows(cache) == list(range(6))
    cache.close()


def test_missing_blob(blob: Made, tmp_path: Path) -> None:
    """A blob that is not there is named when the cache is opened."""
    path = blob.folder / blob.infos[0].blob_id
    path.unlink()
    with pytest.raises(MissingBlobError) as refused:
        open_cache(blob, tmp_path / "cache")
    assert refused.value.where["path"] == path


def some_cached(made: Made, folder: Path, suffix: str) -> Path:
    """Fill a folder with three chunks, and name one of its files."""
    cache = open_cache(made, folder)
    read_chunks(cache, made, [0, 3, 4])
    cache.close()
    (path,) = folder.glob(f"*.blob.data{suffix}")
    return path


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda data: data[:-1], "is 4096 bytes, a map of 8 chunks is 4097"),
        (lambda data: data + b"\0", "is 4098 bytes, a map of 8 chunks is 4097"),
        (lambda data: b"LAMB" + data[4:], "is not a chunk map"),
        (lambda data: data[:8] + b"PAMB" + data[12:], "is not a chunk map"),
        (lambda data: data[:17], "is 17 bytes"),
    ],
)
def test_broken_chunk_map(damage: object, complaint: str, blob: Made, tmp_path: Path) -> None:
    """A chunk map of another size or kind is refused by name."""
    path = some_cached(blob, tmp_path / "cache", ".chunk_map")
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CacheError, match=complaint) as refused:
        open_cache(blob, tmp_path / "cache")
    assert refused.value.where["path"] == path


def test_removing_what_is_broken_helps(blob: Made, tmp_path: Path) -> None:
    """After a refusal the folder is free: with the broken file removed, as told, the same process opens it."""
    path = some_cached(blob, tmp_path / "cache", ".chunk_map")
    path.write_bytes(b"no map")
    with pytest.raises(CacheError, match="remove it"):
        open_cache(blob, tmp_path / "cache")
    path.unlink()
    cache = open_cache(blob, tmp_path / "cache", capacity=200_000, policy=plain_lru())
    assert ready_rows(cache) == []
    cache.close()


def test_truncated_cache_file(blob: Made, tmp_path: Path) -> None:
    """A cache file that is too short for what its map says is refused by name."""
    path = some_cached(blob, tmp_path / "cache", "")
    os.truncate(path, 30_000)
    with pytest.raises(CacheError, match="is 30000 bytes") as refused:
        open_cache(blob, tmp_path / "cache")
    assert refused.value.where["path"] == path


def test_cache_file_truncated_meanwhile(blob: Made, tmp_path: Path) -> None:
    """If the cache file loses its end while it is open, the read fails by name; no zeros are returned."""
    cache = open_cache(blob, tmp_path / "cache")
    read_chunks(cache, blob, [7])
    (path,) = (tmp_path / "cache").glob("*.blob.data")
    os.truncate(path, int(blob.chunks.uncompressed_offset[7]) + 5)
    with pytest.raises(CacheError, match="ends early") as refused:
        read_chunks(cache, blob, [7])
    assert refused.value.where["path"] == path
    assert_at_rest(cache)
    cache.close()


def test_foreign_folder(blob: Made, made: Made, tmp_path: Path) -> None:
    """The folder of another image is refused, and stays as it is."""
    open_cache(made, tmp_path / "cache").close()
    before = sorted(path.name for path in (tmp_path / "cache").iterdir())
    with pytest.raises(CacheError, match="another image's") as refused:
        open_cache(blob, tmp_path / "cache")
    assert refused.value.where["path"] == tmp_path / "cache"
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == before


def test_no_folder(blob: Made, tmp_path: Path) -> None:
    """Where a file is in the way of the folder, that is said."""
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be used") as refused:
        open_cache(blob, tmp_path / "file" / "cache")
    assert refused.value.where["path"] == tmp_path / "file" / "cache"


def test_folder_in_the_way(blob: Made, tmp_path: Path) -> None:
    """Where a directory has the name of a cache file, that is said."""
    path = tmp_path / "cache" / f"{blob.infos[0].blob_id}.blob.data"
    path.mkdir(parents=True)
    with pytest.raises(CacheError) as refused:
        open_cache(blob, tmp_path / "cache")
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("length", [1, 100, 4096, 4097])
def test_map_that_was_not_finished(length: int, blob: Made, tmp_path: Path) -> None:
    """A chunk map whose maker was killed before its header is made again, whatever there is of it."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{blob.infos[0].blob_id}.blob.data.chunk_map").write_bytes(bytes(length))
    cache = open_cache(blob, tmp_path / "cache")
    read_chunks(cache, blob, [3])
    cache.close()
    cache = open_cache(blob, tmp_path / "cache")
    assert ready_rows(cache) == [3]
    cache.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may be written past `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_refused_write(plan: str, blob: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A chunk that cannot be written is read through, each time a failure among the events, and a word in the log."""
    recorder, backend = Recorder(), WatchedBackend(LocalFs(blob.folder))
    cache = open_cache(blob, tmp_path / "cache", plan=plan, recorder=recorder, backend=backend)
    with largest_file(int(blob.chunks.uncompressed_offset[7])):
        for _ in range(3):
            read_chunks(cache, blob, [7])
            assert_at_rest(cache)
    assert ready_rows(cache) == []
    (said,) = caplog.messages
    assert said.startswith("cannot be written: File too large (path ")
    failures = recorder.table().filter(pc.equal(recorder.table()["kind"], "failure"))
    assert failures["chunk"].to_pylist() == [7, 7, 7]
    audit(recorder.table())
    assert len(backend.requests) == 3
    for _ in range(2):
        read_chunks(cache, blob, [7])
    assert ready_rows(cache) == [7]
    assert len(backend.requests) == 4
    cache.close()


@pytest.mark.root
def test_full_disk(blob: Made, small_disk: Path) -> None:
    """On a full disk reads go through and are right; what was there is still served, and found again."""
    cache = open_cache(blob, small_disk)
    for _ in range(2):
        for row in range(8):
            read_chunks(cache, blob, [row])
    assert_at_rest(cache)
    rows = ready_rows(cache)
    assert rows[:4] == [0, 1, 2, 3]
    assert len(rows) < 8
    cache.close()
    cache = open_cache(blob, small_disk)
    assert ready_rows(cache) == rows
    read_chunks(cache, blob, range(8))
    cache.close()


@pytest.mark.root
@pytest.mark.parametrize("room", [0, 4096, 8192, 16_384, 20_480, 24_576, 40_960])
def test_any_write_may_find_the_disk_full(room: int, blob: Made, small_disk: Path) -> None:
    """However little room there is, at whichever write it ends: right bytes, and what is marked is there."""
    try:
        cache = open_cache(blob, small_disk)
    except CacheError:
        return
    fill = small_disk / "fill"
    free = os.statvfs(small_disk)
    fill.write_bytes(bytes(free.f_bavail * free.f_frsize - room))
    cache.prefetch(range(8))
    cache.drain()
    assert_at_rest(cache)
    read_chunks(cache, blob, range(8))
    assert_at_rest(cache)
    fill.unlink()
    read_chunks(cache, blob, [0, 1])
    assert {0, 1} <= set(ready_rows(cache))
    assert_at_rest(cache)
    cache.close()
