"""A hypothesis state machine that drives a cache through everything that may happen to it."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.backend import LocalFs
from storage.cache import CacheKind, FileCache
from storage.codec import PageCipher, remember
from storage.errors import BackendError, CacheError
from storage.events import Recorder, audit
from storage.plan import WHOLE, Decider, keep_all, plan_layout, plan_options, rerun
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, Raw, Spec, chunk_specs, content, make_blobs, open_cache, raw_reads, segments_of
from storage.testing.cache import Segment, assert_at_rest, expected, read_segments, ready_rows
from storage.testing.lru import plain_lru
from storage.testing.steps import Traced, step
from storage.testing.zran import make_zran

__all__ = ["BLOBS", "KINDS", "CacheMachine"]

_KEY = bytes(range(32))

KINDS = {
    "plain": CacheKind(),
    "validated": CacheKind(validate=True),
    "digested": CacheKind(chunk_map="digested"),
    "range": CacheKind(chunk_map="range"),
    "raw": CacheKind(compressed=True),
    "encrypted": CacheKind(cipher=PageCipher(_KEY)),
    "convergent": CacheKind(cipher=PageCipher(_KEY, convergent=True)),
}
"""Kinds of cache, by name."""

BLOBS: dict[str, Callable[[Path, Sequence[Sequence[bytes]]], Made]] = {
    "alone": make_blobs,
    "batched": partial(make_blobs, together=3),
    "encrypted": partial(make_blobs, encrypted=True),
    "zran": make_zran,
}
"""Kinds of blob, by name: what makes them of contents."""
# Chunks of a layer are so much longer, so that there are several inflate contexts.
_LONGER = 16


class CacheMachine(Traced, RuleBasedStateMachine):
    """Reads, prefetches, streams, restarts, a bad line, neighbours and damage, in any order, on any cache and blob.

    After each step: what was read is what the blobs hold; what is marked ready is on disk and
    right; no more is stored than may be; the events' ledgers balance; a fresh decider decides
    the same again; and, under plan `exact`, what was fetched and not evicted is what is there,
    once. Subclass it and override `open` to drive a cache that you open in another way.

    Examples
    --------
    ``TestMine = CacheMachine.TestCase`` is a test that pytest runs. A failing one leaves its smallest
    counterexample as a trace and as a script; see `storage.testing.steps`.
    """

    made: Made
    cache: FileCache

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    @initialize(
        specs=chunk_specs(max_chunks=10),
        plan=st.sampled_from(["exact", "reference"]),
        amplify_io=st.sampled_from([0, 8000, 1 << 20]),
        part=st.sampled_from([None, 0.1, 0.5, 1.0]),
        kind=st.sampled_from(sorted(KINDS)),
        blobs=st.sampled_from(sorted(BLOBS)),
        marks=st.none() | st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted),
        dedup=st.booleans(),
    )
    @step
    def start(
        self,
        *,
        specs: list[list[Spec]],
        plan: str,
        amplify_io: int,
        part: float | None,
        kind: str,
        blobs: str,
        marks: Sequence[int] | None = None,
        dedup: bool = False,
    ) -> None:
        """Blobs, and an empty folder; what cannot be bounded is not. Watermarks are quarters of the capacity.

        With `dedup` the first blob's chunks are in another blob, too, and there is an index of chunks.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="cache-machine-"))
        (self.folder / "blobs").mkdir()
        contents = [[content(*chunk) for chunk in blob] for blob in specs]
        if blobs == "zran":
            contents = [[chunk * _LONGER for chunk in blob] for blob in contents]
        self.made = BLOBS[blobs](self.folder / "blobs", contents + contents[:1] if dedup else contents)
        self.plan, self.amplify_io, self.kind = plan, amplify_io, KINDS[kind]
        total = sum(len(each) for each in self.made.contents)
        self.batched = blobs in ("batched", "zran")
        self.forgets = self.kind.chunk_map == "digested"
        unbounded = part is None or (self.kind.compressed and self.batched and plan == "reference")
        self.capacity = None if unbounded or part is None else int(part * total)
        self.marks = None
        if self.capacity is not None and marks is not None:
            self.marks = (marks[0] * self.capacity // 4, marks[1] * self.capacity // 4)
        self.index = self.folder / "chunks.db" if dedup else None
        self.faults = 0
        self.open()

    def open(self) -> None:
        """Open the folder, whatever is in it."""
        self.recorder = Recorder()
        self.backend = WatchedBackend(LocalFs(self.made.folder), self._line)
        self.cache = self._open(self.recorder, self.backend)
        assert self.cache.decider.journal is not None
        self.found: Counter[int] = Counter(self.cache.decider.journal[0][1])  # some of it may have had to go at once

    def _open(self, recorder: Recorder | None, backend: WatchedBackend) -> FileCache:
        return open_cache(
            self.made,
            self.folder / "cache",
            backend=backend,
            plan=self.plan,
            amplify_io=self.amplify_io,
            kind=self.kind,
            capacity=self.capacity,
            policy=keep_all if self.capacity is None else plain_lru(),
            watermarks=self.marks,
            dedup=self.index,
            recorder=recorder,
            journal=recorder is not None,
        )

    def _line(self, blob_id: str, offset: int, length: int) -> None:
        if self.faults > 0:
            self.faults -= 1
            raise BackendError("the line is bad", blob=blob_id, offset=offset)

    def _read(self, cache: FileCache, segments: list[Segment]) -> None:
        try:
            assert read_segments(cache, segments) == expected(self.made, segments)
        except BackendError as error:
            assert error.message == "the line is bad"

    @rule(raw=raw_reads())
    @step
    def read(self, *, raw: Raw) -> None:
        """One reader, one read."""
        self._read(self.cache, segments_of(self.made, raw))

    @rule(raws=st.lists(raw_reads(), min_size=1, max_size=4))
    @step
    def read_at_once(self, *, raws: list[Raw]) -> None:
        """Several readers at the same time."""
        failures = []

        def work(segments: list[Segment]) -> None:
            try:
                self._read(self.cache, segments)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(segments_of(self.made, raw),)) for raw in raws]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert failures == []

    @rule(numbers=st.lists(st.integers(0, 99), min_size=1, max_size=8))
    @step
    def prefetch(self, *, numbers: list[int]) -> None:
        """Chunks in the background, which may still go on during the next steps' reads."""
        self.cache.prefetch([number % len(self.made.contents) for number in numbers])

    @rule()
    @step
    def stream(self) -> None:
        """All blobs in the background, each as one stream."""
        self.cache.prefetch_streams()

    @precondition(lambda self: self.index is not None)
    @rule()
    @step
    def enter(self) -> None:
        """The index learns of all that is stored."""
        self.cache.drain()
        assert self.cache.dedup is not None
        self.cache.dedup.entries.flush()

    @rule(count=st.integers(1, 3))
    @step
    def break_the_line(self, *, count: int) -> None:
        """The next requests fail."""
        self.faults = count

    @rule()
    @step
    def restart(self) -> None:
        """Close, and open again what is there; a map that forgets is filled as chunks are found in the file.

        Of a bounded cache they are looked for at once.
        What is above the high watermark, where pinned chunks had it stay, goes.
        """
        self.cache.drain()
        before, high = ready_rows(self.cache), self.marks[1] if self.marks else None
        fits = high is None or self.cache.stored <= high
        self.cache.close()
        self.open()
        after = ready_rows(self.cache)
        assert after == ([] if self.forgets and self.capacity is None else before) if fits else set(after) < set(before)

    @precondition(lambda self: self.capacity is None)
    @rule(raw=raw_reads())
    @step
    def neighbour(self, *, raw: Raw) -> None:
        """Another cache on the same folder reads, too: it sees what is there, and loses no mark."""
        self.cache.drain()
        other = self._open(None, WatchedBackend(LocalFs(self.made.folder)))
        assert self.forgets or set(ready_rows(other)) >= set(ready_rows(self.cache))
        self._read(other, segments_of(self.made, raw))
        other.close()
        self.cache.close()
        self.open()

    @precondition(lambda self: not self.forgets)
    @rule(number=st.integers(0, 2), cut=st.integers(1, 5000))
    @step
    def damage(self, *, number: int, cut: int) -> None:
        """A map that was cut short is refused by name; with it removed, the blob is fetched anew."""
        self.cache.drain()
        self.cache.close()
        info = self.made.infos[number % len(self.made.infos)]
        suffix = "range_map" if self.kind.chunk_map == "range" else "chunk_map"
        path = self.folder / "cache" / f"{info.blob_id}.blob.data.{suffix}"
        path.write_bytes(path.read_bytes()[:-cut] or b"x")
        try:
            self.open()
        except CacheError as error:
            assert error.where["path"] == path
            path.unlink()
            self.open()
        else:
            raise AssertionError("a map that was cut short was taken")

    @precondition(lambda self: self.kind.validate or self.kind.compressed or self.kind.cipher is not None)
    @rule(number=st.integers(0, 99), at=st.integers(0, 1 << 20))
    @step
    def spoil(self, *, number: int, at: int) -> None:
        """A byte of the cache file changes: whoever reads gets the right one all the same, or the line's error."""
        self.cache.drain()
        row = number % len(self.made.contents)
        file = self.cache.files[int(self.made.chunks.blob[row])]
        size = file.path.stat().st_size
        held = bytearray(1)
        file.read([memoryview(held)], at % size)
        file.write(bytes([held[0] ^ 0x55]), at % size)
        remember(None, None)  # what this thread has in its buffers would be served without a look at the file
        for other in range(len(self.made.contents)):
            self._read(self.cache, [(other, 0, len(self.made.contents[other]))])

    @invariant()
    def all_is_well(self) -> None:
        """The laws."""
        if hasattr(self, "cache"):
            self.check()

    def check(self) -> None:
        """The laws, of a cache that there is."""
        self.cache.drain()
        assert_at_rest(self.cache)
        assert self.capacity is None or self.cache.stored <= self.capacity
        self._on_disk()
        events = self.recorder.table()
        audit(events)
        if self.plan == "exact":
            self._once(events)
        self._again()
        self.is_well = True

    def _on_disk(self) -> None:
        """Ready chunks are in the cache files."""
        for row in ready_rows(self.cache):
            file = self.cache.files[int(self.made.chunks.blob[row])]
            assert file.chunk(row) == self.made.contents[row], f"chunk {row} is ready and wrong"

    def _once(self, events: Any) -> None:
        """What was found, copied or fetched, less what was evicted or spoilt, is what is there: no chunk twice.

        Chunks of a batch of which something is missing come along with it, though they are there: of them it
        is at least that.
        """
        kept = events.filter(pc.and_(pc.equal(events["kind"], "fetch"), pc.equal(events["outcome"], "ok")))
        gone = events.filter(pc.equal(events["kind"], "evict"))
        there = self.found + Counter(row for row in kept["chunk"].to_pylist() if row >= 0)
        journal = self.cache.decider.journal or ()
        there.update(given for name, given, decided in journal if name == "adopted" or (name == "found" and decided))
        there.subtract(gone["chunk"].to_pylist())
        ready = Counter(ready_rows(self.cache))
        assert ready <= +there if self.batched else ready == +there

    def _again(self) -> None:
        """A fresh decider, told the same, decides the same."""
        journal = self.cache.decider.journal
        assert journal is not None
        policy = keep_all if self.capacity is None else plain_lru()
        options = plan_options(self.plan, self.amplify_io)
        layout, whole = plan_layout(self.made.chunks), self.cache.decider.state.counters[WHOLE] != 0
        fresh = Decider(layout, options, self.capacity, policy, watermarks=self.marks, whole=whole)
        assert rerun(journal, fresh) == len(journal)
        assert list(fresh.state.status) == list(self.cache.decider.state.status)

    def teardown(self) -> None:
        """Leave a trace if something is wrong; close and remove everything."""
        self.leave_trace()
        if hasattr(self, "cache"):
            self.cache.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)
