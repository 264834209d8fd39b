"""A hypothesis state machine that drives a cache through everything that may happen to it."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.backend import LocalFs
from storage.cache import FileCache
from storage.errors import BackendError, CacheError
from storage.events import Recorder, audit
from storage.plan import Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, chunk_contents, make_blobs, open_cache, read_lists
from storage.testing.cache import assert_at_rest, expected, read_segments, ready_rows
from storage.testing.lru import plain_lru

__all__ = ["CacheMachine"]


class CacheMachine(RuleBasedStateMachine):
    """Reads, prefetches, restarts, a bad line, neighbours and damage, in any order.

    After each step: what was read is what the blobs hold; what is marked ready is on disk and
    right; no more is stored than may be; the events' ledgers balance; a fresh decider decides
    the same again; and, under plan `exact`, what was fetched and not evicted is what is there,
    once. Subclass it and override `open` to drive a cache that you open in another way.

    Examples
    --------
    ``TestMine = CacheMachine.TestCase`` is a test that pytest runs. A failing one prints the
    steps as a script.
    """

    made: Made
    cache: FileCache

    @initialize(
        contents=chunk_contents(max_chunks=10),
        plan=st.sampled_from(["exact", "reference"]),
        amplify_io=st.sampled_from([0, 8000, 1 << 20]),
        part=st.sampled_from([None, 0.1, 0.5, 1.0]),
    )
    def start(self, contents: list[list[bytes]], plan: str, amplify_io: int, part: float | None) -> None:
        """Blobs, and an empty folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="cache-machine-"))
        (self.folder / "blobs").mkdir()
        self.made = make_blobs(self.folder / "blobs", contents)
        self.plan, self.amplify_io = plan, amplify_io
        total = sum(len(content) for content in self.made.contents)
        self.capacity = None if part is None else int(part * total)
        self.faults = 0
        self.open()

    def open(self) -> None:
        """Open the folder, whatever is in it."""
        self.recorder = Recorder()
        self.backend = WatchedBackend(LocalFs(self.made.folder), self._line)
        self.cache = self._open(self.recorder, self.backend)
        self.found = Counter(ready_rows(self.cache))

    def _open(self, recorder: Recorder | None, backend: WatchedBackend) -> FileCache:
        return open_cache(
            self.made,
            self.folder / "cache",
            backend=backend,
            plan=self.plan,
            amplify_io=self.amplify_io,
            capacity=self.capacity,
            policy=keep_all if self.capacity is None else plain_lru(),
            recorder=recorder,
            journal=recorder is not None,
        )

    def _line(self, blob_id: str, offset: int, length: int) -> None:
        if self.faults > 0:
            self.faults -= 1
            raise BackendError("the line is bad", blob=blob_id, offset=offset)

    def _read(self, cache: FileCache, segments: list[tuple[int, int, int]]) -> None:
        try:
            assert read_segments(cache, segments) == expected(self.made, segments)
        except BackendError as error:
            assert error.message == "the line is bad"

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        """One reader, one read."""
        self._read(self.cache, data.draw(read_lists(self.made, max_reads=1), "read")[0])

    @rule(data=st.data())
    def read_at_once(self, data: st.DataObject) -> None:
        """Several readers at the same time."""
        reads, failures = data.draw(read_lists(self.made, max_reads=4), "reads"), []

        def work(segments: list[tuple[int, int, int]]) -> None:
            try:
                self._read(self.cache, segments)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(segments,)) for segments in reads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert failures == []

    @rule(data=st.data())
    def prefetch(self, data: st.DataObject) -> None:
        """Chunks in the background, which may still go on during the next steps' reads."""
        rows = st.integers(0, len(self.made.contents) - 1)
        self.cache.prefetch(data.draw(st.lists(rows, min_size=1, max_size=8), "rows"))

    @rule(count=st.integers(1, 3))
    def break_the_line(self, count: int) -> None:
        """The next requests fail."""
        self.faults = count

    @rule()
    def restart(self) -> None:
        """Close, and open again what is there."""
        self.cache.drain()
        before = ready_rows(self.cache)
        self.cache.close()
        self.open()
        assert ready_rows(self.cache) == before

    @precondition(lambda self: self.capacity is None)
    @rule(data=st.data())
    def neighbour(self, data: st.DataObject) -> None:
        """Another cache on the same folder reads, too: it sees what is there, and loses no mark."""
        self.cache.drain()
        other = self._open(None, WatchedBackend(LocalFs(self.made.folder)))
        assert set(ready_rows(other)) >= set(ready_rows(self.cache))
        self._read(other, data.draw(read_lists(self.made, max_reads=1), "read")[0])
        other.close()
        self.cache.close()
        self.open()

    @rule(blob=st.integers(0, 2), cut=st.integers(1, 5000))
    def damage(self, blob: int, cut: int) -> None:
        """A chunk map that was cut short is refused by name; with it removed, the blob is fetched anew."""
        self.cache.drain()
        self.cache.close()
        info = self.made.infos[blob % len(self.made.infos)]
        path = self.folder / "cache" / f"{info.blob_id}.blob.data.chunk_map"
        path.write_bytes(path.read_bytes()[:-cut] or b"x")
        try:
            self.open()
        except CacheError as error:
            assert error.where["path"] == path
            path.unlink()
            self.open()
        else:
            raise AssertionError("a chunk map that was cut short was taken")

    @invariant()
    def all_is_well(self) -> None:
        """The laws."""
        if not hasattr(self, "cache"):
            return
        self.cache.drain()
        assert_at_rest(self.cache)
        assert self.capacity is None or self.cache.stored <= self.capacity
        self._on_disk()
        events = self.recorder.table()
        audit(events)
        if self.plan == "exact":
            self._once(events)
        self._again()

    def _on_disk(self) -> None:
        """Ready chunks are in the cache files."""
        for row in ready_rows(self.cache):
            content = self.made.contents[row]
            held = bytearray(len(content))
            self.cache.files[int(self.made.chunks.blob[row])].read(
                [memoryview(held)], int(self.made.chunks.uncompressed_offset[row])
            )
            assert held == content, f"chunk {row} is ready and wrong"

    def _once(self, events: Any) -> None:
        """What was found or fetched, less what was evicted, is what is there: no chunk twice."""
        kept = events.filter(pc.and_(pc.equal(events["kind"], "fetch"), pc.equal(events["outcome"], "ok")))
        gone = events.filter(pc.equal(events["kind"], "evict"))
        there = self.found + Counter(row for row in kept["chunk"].to_pylist() if row >= 0)
        there.subtract(gone["chunk"].to_pylist())
        assert +there == Counter(ready_rows(self.cache))

    def _again(self) -> None:
        """A fresh decider, told the same, decides the same."""
        journal = self.cache.decider.journal
        assert journal is not None
        policy = keep_all if self.capacity is None else plain_lru()
        options = plan_options(self.plan, self.amplify_io)
        fresh = Decider(plan_layout(self.made.chunks), options, self.capacity, policy)
        assert rerun(journal, fresh) == len(journal)
        assert list(fresh.state.status) == list(self.cache.decider.state.status)

    def teardown(self) -> None:
        """Close and remove everything."""
        if hasattr(self, "cache"):
            self.cache.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)
