"""Images in one process that have a blob and a cache folder in common: each chunk of it is fetched once."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.backend import LocalFs
from storage.cache import CacheKind, FileCache
from storage.cache._flights import _shared
from storage.errors import BackendError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.fs import Rafs
from storage.image.build import build
from storage.image.verbs import merge
from storage.plan import Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks

Before = Callable[[str, int, int], object]
THREADS = 16


def at_once(work: Callable[[int], None]) -> None:
    """Do the work in 16 threads that begin together, numbered."""
    failures: list[BaseException] = []
    ready = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            ready.wait(30)
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def assert_once(requests: list[tuple[str, int, int]]) -> None:
    """No byte of a blob was asked for twice."""
    ordered = sorted(requests)
    for (blob, offset, length), (other, after, _) in itertools.pairwise(ordered):
        assert blob != other or offset + length <= after


def assert_forgotten(folder: Path) -> None:
    """Nothing is shared any more of any cache below a folder."""
    assert [place for place, _ in _shared if Path(place).is_relative_to(folder.resolve())] == []


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """A layer of 40 files, and an image merged of it and of another layer, over one folder of blobs."""
    dice = random.Random(3)
    (tmp_path / "blobs").mkdir()
    for name, count in (("low", 40), ("high", 10)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{name}-{number}").write_bytes(dice.randbytes(dice.randrange(1, 60_000)))
        build(tmp_path / name, tmp_path / f"{name}.image", chunk_size=4096)
        for blob in (tmp_path / f"{name}.image" / "blobs").iterdir():
            shutil.copy(blob, tmp_path / "blobs")
    merge([tmp_path / f"{name}.image" / "bootstrap" for name in ("low", "high")], tmp_path / "merged")
    return tmp_path


@pytest.mark.parametrize("amplify_io", [0, 64 << 10])
def test_a_family(amplify_io: int, family: Path) -> None:
    """16 threads read a layer and the image merged of it, cold: right bytes, and no byte asked for twice."""
    backend, recorders = WatchedBackend(LocalFs(family / "blobs")), (Recorder(), Recorder())
    images: list[Rafs] = [
        open_store(path, cache_dir=family / "cache", backend=backend, amplify_io=amplify_io, recorder=recorder)
        for path, recorder in zip((family / "low.image", family / "merged"), recorders, strict=True)
    ]
    backend.requests.clear()  # those of blob.meta
    names = [f"low-{number}" for number in range(40)]

    def work(number: int) -> None:
        for name in random.Random(number).sample(names, 40):
            assert images[number % 2].read(f"/{name}") == (family / "low" / name).read_bytes()

    at_once(work)
    assert_once(backend.requests)
    low, merged = (rafs.cache for rafs in images)
    assert low.is_ready(range(len(images[0].image.chunks)))
    for cache, recorder in zip((low, merged), recorders, strict=True):
        assert isinstance(cache, FileCache)
        assert_at_rest(cache)
        audit(recorder.table())
    for rafs in images:
        rafs.close()
    assert_forgotten(family)


KINDS = {
    "plain": CacheKind(),
    "raw": CacheKind(compressed=True),
    "digested": CacheKind(chunk_map="digested"),
    "validated": CacheKind(validate=True),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_every_kind(plan: str, kind: str, each_made: Made, tmp_path: Path) -> None:
    """In each form, on each plan: two caches, 8 readers of each; nothing is asked for twice, nor decided otherwise."""
    backend = WatchedBackend(LocalFs(each_made.folder))
    settings = {"backend": backend, "plan": plan, "kind": KINDS[kind], "journal": True}
    caches = [open_cache(each_made, tmp_path, **settings) for _ in range(2)]
    rows = range(len(each_made.contents))

    def work(number: int) -> None:
        for row in random.Random(number).sample(rows, len(rows)):
            read_chunks(caches[number % 2], each_made, [row])

    at_once(work)
    if plan == "exact":
        assert_once(backend.requests)
    for cache in caches:
        assert_at_rest(cache)
        fresh = Decider(plan_layout(each_made.chunks), plan_options(plan, 0), None, keep_all)
        assert cache.decider.journal is not None
        assert rerun(cache.decider.journal, fresh) == len(cache.decider.journal)
        cache.close()


def held_up(made: Made, folder: Path, before: Before) -> tuple[FileCache, FileCache, WatchedBackend]:
    """A cache whose backend is held up, another on its folder, and the other's backend."""
    backend = WatchedBackend(LocalFs(made.folder))
    slow = open_cache(made, folder, backend=WatchedBackend(LocalFs(made.folder), before), amplify_io=0)
    return slow, open_cache(made, folder, backend=backend, amplify_io=0), backend


@pytest.mark.parametrize("fails", [False, True])
def test_one_waits_for_the_other(fails: bool, made: Made, tmp_path: Path) -> None:
    """Who wants what the other is fetching waits, and is served from the cache; if that fails it fetches itself."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(blob_id: str, offset: int, length: int) -> None:
        begun.set()
        assert go_on.wait(30)
        if fails:
            raise BackendError("the line is bad", blob=blob_id, offset=offset)

    slow, other, backend = held_up(made, tmp_path, hold)
    outcomes: list[BaseException | None] = []

    def read(cache: FileCache, rows: list[int]) -> None:
        try:
            read_chunks(cache, made, rows)
            outcomes.append(None)
        except BackendError as error:
            outcomes.append(error)

    first = threading.Thread(target=read, args=(slow, [3, 4, 5]))
    first.start()
    assert begun.wait(30)
    second = threading.Thread(target=read, args=(other, [4]))
    second.start()
    read_chunks(other, made, [9])  # what nobody fetches is had at once
    second.join(0.2)
    assert second.is_alive()
    assert len(backend.requests) == 1
    go_on.set()
    first.join(30)
    second.join(30)
    assert len(backend.requests) == 1 + fails
    assert [type(outcome) for outcome in outcomes].count(BackendError) == fails
    for cache in (slow, other):
        assert_at_rest(cache)
        cache.close()


def test_a_folder_by_another_name(made: Made, tmp_path: Path) -> None:
    """A link to a folder is that folder; another folder is not."""
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    caches = [open_cache(made, tmp_path / name) for name in ("cache", "link", "other")]
    assert [flights.users for flights in caches[0].flights] == [2, 2]
    assert caches[0].flights == caches[1].flights
    assert [flights.users for flights in caches[2].flights] == [1, 1]
    for cache in caches:
        cache.close()
    assert_forgotten(tmp_path)
