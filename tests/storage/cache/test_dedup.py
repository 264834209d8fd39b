"""Chunks that another blob's cache file already has are copied, not fetched."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from storage.backend import LocalFs
from storage.cache import ChunkIndex, FileCache, Held
from storage.codec import Digester, digest
from storage.errors import CacheError
from storage.events import Recorder, audit
from storage.plan import Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

# Made by nydusd, as in its storage/src/cache/dedup/db.rs.
UPSTREAM = """
CREATE TABLE IF NOT EXISTS Blobs (
            BlobId     INTEGER PRIMARY KEY,
            FilePath   TEXT NOT NULL UNIQUE
        );
CREATE TABLE IF NOT EXISTS Chunks (
            ChunkId           TEXT NOT NULL,
            ChunkOffset       INTEGER,
            BlobId            INTEGER,
            UNIQUE(ChunkId, BlobId) ON CONFLICT IGNORE,
            FOREIGN KEY(BlobId) REFERENCES Blobs(BlobId)
        );
CREATE INDEX IF NOT EXISTS ChunkIndex ON Chunks(ChunkId);
"""
UPSTREAM_FINDS = """
SELECT FilePath, ChunkOffset FROM Chunks INDEXED BY ChunkIndex JOIN Blobs ON Chunks.BlobId = Blobs.BlobId
WHERE ChunkId = ? ORDER BY Blobs.BlobId LIMIT 1 OFFSET 0
"""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Made, Made]:
    """Two images of one blob each: 8 chunks; 6 of the first's, in another order, between 4 of its own."""
    dice = random.Random(4)
    first = [dice.randbytes(dice.randrange(1, 30_000)) for _ in range(8)]
    own = [dice.randbytes(7000) for _ in range(4)]
    second = [own[0], first[5], first[1], own[1], first[7], first[0], own[2], first[3], first[2], own[3]]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return make_blobs(tmp_path / "one", [first]), make_blobs(tmp_path / "two", [second])


SHARED = [1, 2, 4, 5, 7, 8]


def opened(made: Made, folder: Path, **settings: Any) -> FileCache:
    """A cache that takes part, by a database next to its folder."""
    return open_cache(made, folder, dedup=folder.parent / "cas.db", **settings)


def name_of(content: bytes) -> str:
    """What the index calls a chunk."""
    return f"Blake3:{digest(Digester.BLAKE3, content).hex()}"


def entered(folder: Path, content: bytes) -> set[Path]:
    """The cache folders that the index says hold a chunk; where it says so, it is."""
    index, found = ChunkIndex(folder / "cas.db"), set()
    for path, offset in index.find([name_of(content)]).get(name_of(content), []):
        assert Path(path).read_bytes()[offset : offset + len(content)] == content
        found.add(Path(path).parent)
    index.close()
    return found


def wait_for(reached: Callable[[], bool]) -> None:
    """Wait until it is so, for ten seconds."""
    end = time.monotonic() + 10
    while not reached() and time.monotonic() < end:
        time.sleep(0.01)
    assert reached()


@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_copied_not_fetched(plan: str, pair: tuple[Made, Made], tmp_path: Path) -> None:
    """What the first image's cache holds is not fetched for the second; the ledger says where bytes came from."""
    one, two = pair
    cache = opened(one, tmp_path / "a", plan=plan)
    read_chunks(cache, one, range(8))
    cache.close()
    recorder, backend = Recorder(), WatchedBackend(LocalFs(two.folder), refuse)
    cache = opened(two, tmp_path / "b", plan=plan, recorder=recorder, backend=backend, journal=True)
    read_chunks(cache, two, [1, 2])
    read_chunks(cache, two, SHARED)
    assert backend.requests == []
    assert ready_rows(cache) == SHARED
    ledgers = audit(recorder.table())
    size = sum(len(two.contents[row]) for row in SHARED)
    again = len(two.contents[1]) + len(two.contents[2])
    assert (ledgers.asked, ledgers.deduplicated, ledgers.hit, ledgers.received) == (size + again, size, again, 0)
    copies = recorder.table().filter(pc.equal(recorder.table()["kind"], "dedup"))
    assert copies["chunk"].to_pylist() == SHARED
    journal = cache.decider.journal
    assert journal is not None
    assert rerun(journal, Decider(plan_layout(two.chunks), plan_options(plan, 0), None, keep_all)) == len(journal)
    assert_at_rest(cache)
    cache.close()
    cache = open_cache(two, tmp_path / "b", backend=backend)
    read_chunks(cache, two, SHARED)
    cache.close()


def test_the_rest_is_fetched_once(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """A read of everything copies what it can and fetches the rest, and prefetch does, too."""
    one, two = pair
    cache = opened(one, tmp_path / "a")
    cache.prefetch(range(8))
    cache.drain()
    cache.close()
    for number, way in enumerate(("read", "prefetch")):
        recorder, backend = Recorder(), WatchedBackend(LocalFs(two.folder))
        cache = open_cache(two, tmp_path / f"b{number}", recorder=recorder, backend=backend, dedup=tmp_path / "cas.db")
        if way == "prefetch":
            cache.prefetch(range(10))
            cache.drain()
        read_chunks(cache, two, range(10))
        ledgers = audit(recorder.table())
        assert sum(ledgers.by_cause.values()) == (4 * 7000 if number == 0 else 0)
        assert_at_rest(cache)
        cache.close()


def test_spoilt_source(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """A copy that is not what its digest says is not kept: it is fetched, and the index forgets that place."""
    one, two = pair
    cache = opened(one, tmp_path / "a")
    read_chunks(cache, one, range(8))
    cache.close()
    path = tmp_path / "a" / f"{one.infos[0].blob_id}.blob.data"
    spoilt = bytearray(path.read_bytes())
    spoilt[int(one.chunks.uncompressed_offset[1])] ^= 1
    path.write_bytes(spoilt[: int(one.chunks.uncompressed_offset[7])])
    backend = WatchedBackend(LocalFs(two.folder))
    cache = opened(two, tmp_path / "b", backend=backend)
    read_chunks(cache, two, SHARED)
    assert len(backend.requests) == 2
    assert ready_rows(cache) == SHARED
    assert_at_rest(cache)
    cache.close()
    index = ChunkIndex(tmp_path / "cas.db")
    here = str(tmp_path / "b" / f"{two.infos[0].blob_id}.blob.data")
    for row, row_here in ((1, 2), (7, 4)):
        assert index.find([name_of(one.contents[row])]) == {
            name_of(one.contents[row]): [Held(here, int(two.chunks.uncompressed_offset[row_here]))]
        }
    index.close()


def test_dead_entries(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """A cache file that was removed is no source: when that is seen its chunks are dropped, and no others."""
    one, two = pair
    for made, folder in ((one, "a"), (two, "b")):
        cache = opened(made, tmp_path / folder)
        read_chunks(cache, made, range(len(made.contents)))
        cache.close()
    path = tmp_path / "a" / f"{one.infos[0].blob_id}.blob.data"
    path.unlink()
    backend = WatchedBackend(LocalFs(one.folder))
    cache = opened(one, tmp_path / "c", backend=backend)
    read_chunks(cache, one, range(8))
    assert {offset for _, offset, _ in backend.requests} == {int(one.chunks.compressed_offset[row]) for row in (4, 6)}
    cache.close()
    index = ChunkIndex(tmp_path / "cas.db")
    assert index.collect() == []
    index.add([(name_of(one.contents[0]), Held(str(path), 0))])
    assert index.collect() == [str(path)]
    assert {
        Path(held.path).parent.name for held in index.find([name_of(one.contents[0])])[name_of(one.contents[0])]
    } == {
        "b",
        "c",
    }
    index.close()


def test_bounded(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """With a capacity copies are claimed like fetches: the bound holds, and what was evicted is copied again."""
    one, two = pair
    cache = opened(one, tmp_path / "a")
    read_chunks(cache, one, range(8))
    cache.close()
    recorder, backend = Recorder(), WatchedBackend(LocalFs(two.folder), refuse)
    capacity = max(len(two.contents[row]) for row in SHARED) + 1000
    settings: dict[str, Any] = {"recorder": recorder, "backend": backend, "capacity": capacity, "policy": plain_lru()}
    cache = opened(two, tmp_path / "b", **settings)
    assert cache.dedup is not None
    for row in SHARED * 3:
        read_chunks(cache, two, [row])
        assert cache.stored <= capacity
        cache.dedup.entries.flush()
        assert set(ready_rows(cache)) == {
            row for row in SHARED if tmp_path / "b" in entered(tmp_path, two.contents[row])
        }
    assert recorder.table()["kind"].to_pylist().count("evict") > 6
    audit(recorder.table())
    assert_at_rest(cache)
    cache.close()


def test_crowd(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """Four processes of four threads, each with a folder of its own and one index: every byte right, nobody fails."""
    one, two = pair
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                made = (one, two)[number % 2]
                for life in range(3):
                    cache = opened(made, tmp_path / f"c{number}-{life}")
                    _read_at_once(cache, made)
                    assert_at_rest(cache)
                    cache.close()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    index = ChunkIndex(tmp_path / "cas.db")
    held = index.find([name_of(one.contents[0])])[name_of(one.contents[0])]
    assert len(held) == 12
    index.close()


def _read_at_once(cache: FileCache, made: Made) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rows = list(range(len(made.contents)))
        random.Random(seed).shuffle(rows)
        try:
            for row in rows:
                read_chunks(cache, made, [row])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_upstreams_database(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """A database that nydusd made is used, and finds with nydusd's query what we entered."""
    one, two = pair
    with sqlite3.connect(tmp_path / "cas.db") as db:
        db.executescript(UPSTREAM)
    cache = opened(one, tmp_path / "a")
    read_chunks(cache, one, [3])
    cache.close()
    path = str(tmp_path / "a" / f"{one.infos[0].blob_id}.blob.data")
    found = sqlite3.connect(tmp_path / "cas.db").execute(UPSTREAM_FINDS, [name_of(one.contents[3])]).fetchall()
    assert found == [(path, int(one.chunks.uncompressed_offset[3]))]
    cache = opened(two, tmp_path / "b", backend=WatchedBackend(LocalFs(two.folder), refuse))
    read_chunks(cache, two, [7])
    cache.close()


def test_entered_without_being_closed(pair: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is entered after a while, though nothing more is read; the thread that does it then ends."""
    monkeypatch.setattr("storage.cache._entries._DELAY_S", 0.05)
    one, _ = pair
    cache = opened(one, tmp_path / "a")
    for row in (1, 4):
        read_chunks(cache, one, [row])
        wait_for(lambda row=row: entered(tmp_path, one.contents[row]) == {tmp_path / "a"})  # type: ignore[misc]
    wait_for(lambda: not any(thread.name == "entries" for thread in threading.enumerate()))
    cache.close()


def test_entered_at_the_next_opening(pair: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process that was killed, or that had no index, did not enter is entered by the next one."""
    monkeypatch.setattr("storage.cache._entries._DELAY_S", 0.05)
    one, _ = pair
    cache = open_cache(one, tmp_path / "a")
    read_chunks(cache, one, [1, 4, 5])
    cache.close()
    cache = opened(one, tmp_path / "a")
    wait_for(lambda: all(entered(tmp_path, one.contents[row]) for row in (1, 4, 5)))
    assert not entered(tmp_path, one.contents[0])
    cache.close()


def test_looked_up_in_batches(pair: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads chunk by chunk has them looked up at once, and once; a second later they are looked up again."""
    monkeypatch.setattr("storage.cache._dedup._GOOD_FOR_S", 0.05)
    one, two = pair
    asked: list[int] = []
    find = ChunkIndex.find
    monkeypatch.setattr(ChunkIndex, "find", lambda self, names: asked.append(len(names)) or find(self, names))
    cache = opened(two, tmp_path / "b")
    for row in range(9):
        read_chunks(cache, two, [row])
    assert asked[0] == 10
    other = opened(one, tmp_path / "a")
    read_chunks(other, one, range(8))
    other.close()
    time.sleep(0.06)
    asked.clear()
    read_chunks(cache, two, [9])
    assert asked == [1]
    cache.close()


def test_open_in_a_fork(pair: tuple[Made, Made], tmp_path: Path) -> None:
    """No connection is carried into the child of a fork; parent and child both go on with connections of their own."""
    one, two = pair
    cache = opened(one, tmp_path / "a")
    read_chunks(cache, one, range(4))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cache.close()
            own = opened(two, tmp_path / "b")
            read_chunks(own, two, range(10))
            own.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert entered(tmp_path, one.contents[1]) == {tmp_path / "b"}
    read_chunks(cache, one, range(8))
    cache.close()
    assert entered(tmp_path, one.contents[1]) == {tmp_path / "a", tmp_path / "b"}


def test_broken_database(pair: tuple[Made, Made], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is no database is refused by name; one that breaks later is done without, with one word in the log."""
    one, _ = pair
    (tmp_path / "cas.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(CacheError, match="the index of chunks cannot be used") as refused:
        opened(one, tmp_path / "a")
    assert refused.value.where["path"] == tmp_path / "cas.db"
    (tmp_path / "cas.db").unlink()
    cache = opened(one, tmp_path / "a")
    with sqlite3.connect(tmp_path / "cas.db") as db:
        db.execute("DROP TABLE Chunks")
    read_chunks(cache, one, range(4))
    read_chunks(cache, one, range(8))
    assert_at_rest(cache)
    cache.close()
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, None])
def test_where_the_kernel_cannot_copy(
    number: int | None, pair: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between file systems, or where there is no such call, bytes are read and written."""

    def copy(*_: object) -> int:
        raise OSError(number, "no")

    if number is None:
        monkeypatch.delattr(os, "copy_file_range")
    else:
        monkeypatch.setattr(os, "copy_file_range", copy)
    one, two = pair
    for made, folder, before in ((one, "a", None), (two, "b", refuse)):
        backend = WatchedBackend(LocalFs(made.folder), *([before] if before else []))
        cache = opened(made, tmp_path / folder, backend=backend)
        read_chunks(cache, made, SHARED if before else range(8))
        cache.close()
