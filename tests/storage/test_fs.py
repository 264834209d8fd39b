"""The file system in process: names, attributes and bytes, and what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.backend import Link, LocalFs
from storage.errors import CacheError, ConfigError, FormatError, MissingBlobError, PathError, StorageError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.fs import Rafs
from storage.testing.backends import WatchedBackend


@pytest.fixture
def rafs(image_dir: Path, tmp_path: Path) -> Iterator[Rafs]:
    """The image of `tree`, opened over an empty cache."""
    with open_store(image_dir, cache_dir=tmp_path / "cache") as opened:
        yield opened


def test_names(rafs: Rafs, tree: Path) -> None:
    """Folders are listed, looked up and described as they are on disk."""
    assert sorted(rafs.readdir("/")) == sorted(path.name for path in tree.iterdir())
    assert sorted(rafs.readdir("lib")) == sorted(path.name for path in (tree / "lib").iterdir())
    assert rafs.readlink("/link") == "lib/module_01.py"
    assert rafs.stat("/big.txt").st_size == 3_200_000
    assert rafs.lookup("/hard") == rafs.lookup("/lib/module_02.py")


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, -1, slice(None)),
        (0, 0, slice(0, 0)),
        (5, 10, slice(5, 15)),
        (65_530, 20, slice(65_530, 65_550)),
        (299_990, 100, slice(299_990, None)),
        (300_000, 5, slice(0, 0)),
        (1 << 50, 5, slice(0, 0)),
        (299_000, -1, slice(299_000, None)),
    ],
)
def test_reads(offset: int, length: int, expected: slice, rafs: Rafs, tree: Path) -> None:
    """Parts of a file, over chunks and past the end, cold and warm, by path and by row."""
    content = (tree / "lib" / "deep" / "noise.bin").read_bytes()
    assert rafs.read("/lib/deep/noise.bin", offset, length) == content[expected]
    assert rafs.read(rafs.lookup("/lib/deep/noise.bin"), offset, length) == content[expected]


def test_readinto(rafs: Rafs, tree: Path) -> None:
    """A buffer is filled as far as the file goes, and not touched beyond."""
    content = (tree / "copy.txt").read_bytes()
    buffer = bytearray(b"#" * (len(content) + 10))
    assert rafs.readinto(rafs.lookup("/copy.txt"), 3, buffer) == len(content) - 3
    assert buffer == content[3:] + b"#" * 13


@pytest.mark.parametrize("length", [-1, 10])
def test_negative_offset(length: int, rafs: Rafs) -> None:
    """There is nothing before a file's first byte: asking for it is an error, not zeros."""
    with pytest.raises(StorageError):
        rafs.read("/copy.txt", -5, length)


@pytest.mark.parametrize(("path", "error"), [("/no", "no such file"), ("/lib", "not a regular"), ("/link", "regular")])
def test_not_a_file(path: str, error: str, rafs: Rafs) -> None:
    """What is not there, or is no regular file, is not read."""
    with pytest.raises(PathError, match=error) as failed:
        rafs.read(path)
    assert failed.value.where == {"path": path}


def test_a_read_that_fails_is_an_event(image_dir: Path, tmp_path: Path) -> None:
    """A read of no file ends with an error in the books, which balance."""
    recorder = Recorder()
    with open_store(image_dir, cache_dir=tmp_path, recorder=recorder) as rafs:
        with pytest.raises(PathError):
            rafs.read("/lib")
        rafs.read("/copy.txt")
    reads = recorder.table().to_pandas().query("kind == 'read'")
    assert list(reads["outcome"]) == ["error", "ok"]
    assert audit(recorder.table()).asked == rafs.image.stat(rafs.image.lookup("/copy.txt")).st_size


def test_blob_meta_is_fetched_once(image_dir: Path, tmp_path: Path) -> None:
    """The first opening asks for blob.meta, and says why; the second finds it in the cache folder."""
    for causes in ({"meta"}, set()):
        backend, recorder = WatchedBackend(LocalFs(image_dir / "blobs")), Recorder()
        with open_store(image_dir, cache_dir=tmp_path, backend=backend, recorder=recorder):
            assert len(backend.requests) == len(causes)
        assert audit(recorder.table()).by_cause.keys() == causes


def test_broken_blob_meta_in_the_cache(image_dir: Path, tmp_path: Path) -> None:
    """A blob.meta in the cache folder that is not this blob's is refused by path; removing it, as told, helps."""
    open_store(image_dir, cache_dir=tmp_path).close()
    (path,) = tmp_path.glob("*.blob.meta")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CacheError, match="remove it") as failed:
        open_store(image_dir, cache_dir=tmp_path)
    assert failed.value.where["path"] == path
    path.unlink()
    open_store(image_dir, cache_dir=tmp_path).close()


def test_missing_and_short_blobs(image_dir: Path, tmp_path: Path) -> None:
    """Without its blob, or with one that ends before its blob.meta, a store is not opened."""
    (tmp_path / "blobs").mkdir()
    bootstrap = image_dir / "bootstrap"
    (blob,) = (image_dir / "blobs").iterdir()
    with pytest.raises(MissingBlobError) as missing:
        open_store(bootstrap, tmp_path / "blobs", cache_dir=tmp_path / "cache")
    assert missing.value.where["path"] == tmp_path / "blobs" / blob.name
    (tmp_path / "blobs" / blob.name).write_bytes(blob.read_bytes()[:1000])
    with pytest.raises(FormatError, match=r"ends before its blob\.meta") as short:
        open_store(bootstrap, tmp_path / "blobs", cache_dir=tmp_path / "cache")
    assert short.value.where["blob"] == blob.name


def test_behind_a_link(image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """The same bytes come over a link; many threads share it and the store."""
    files = [f"lib/module_{number:02}.py" for number in range(40)]
    wrong: list[str] = []
    with open_store(image_dir, cache_dir=tmp_path, link=Link(rtt_ns=100_000, bandwidth=10**9), amplify_io=0) as rafs:

        def work(names: list[str]) -> None:
            wrong.extend(name for name in names if rafs.read(name) != (tree / name).read_bytes())

        threads = [threading.Thread(target=work, args=(files[number:] + files[:number],)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_prefetch(image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """After the prefetch of a file's chunks, its read asks for nothing."""
    backend = WatchedBackend(LocalFs(image_dir / "blobs"))
    with open_store(image_dir, cache_dir=tmp_path, backend=backend) as rafs:
        rows, _, _ = rafs.image.segments(rafs.lookup("/big.txt"), 0, 1 << 30)
        rafs.prefetch(rows)
        rafs.drain()
        before = len(backend.requests)
        assert rafs.read("/big.txt") == (tree / "big.txt").read_bytes()
        assert len(backend.requests) == before


def test_no_such_plan(image_dir: Path, tmp_path: Path) -> None:
    """A plan that there is not is refused."""
    with pytest.raises(ConfigError):
        open_store(image_dir, cache_dir=tmp_path, plan="guess")
