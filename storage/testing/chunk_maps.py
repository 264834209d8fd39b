"""Conformance suites for chunk maps: subclass them, say what to open, and pytest runs them.

    class TestMine(ChunkMapConformance):
        keeps = True

        def open(self, folder):
            return MyMap(folder / "blob")

`ChunkMapConformance` is about the map itself, `InFlightConformance` about what is in flight over it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.backend import LocalFs
from storage.cache import CacheKind, FileCache
from storage.cache.maps import ChunkMap
from storage.errors import BackendError
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows

__all__ = ["CHUNKS", "ChunkMapConformance", "InFlightConformance"]

CHUNKS = 37
_STEPS = st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, CHUNKS - 1), min_size=1)), max_size=12)
_WAIT_S = 20


class ChunkMapConformance:
    """What a map of `CHUNKS` chunks, each in pages of its own, is held to.

    Attributes
    ----------
    keeps
        Whether it says that it knows after a restart what it knew before.
    """

    keeps = True

    def open(self, folder: Path) -> ChunkMap:
        """The map in a folder, which may hold one already."""
        raise NotImplementedError

    def test_nothing_at_first(self, tmp_path: Path) -> None:
        """A new map has no chunk ready, and as many as the blob has."""
        opened = self.open(tmp_path)
        assert (opened.ready.tolist(), opened.keeps) == ([False] * CHUNKS, self.keeps)
        opened.close()

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(steps=_STEPS)
    def test_marks_are_there_again(self, steps: list[tuple[bool, set[int]]]) -> None:
        """Whatever is set and cleared: a map that keeps knows just that when it is opened again, another nothing."""
        ready = np.zeros(CHUNKS, np.bool_)
        with tempfile.TemporaryDirectory() as place:
            opened = self.open(Path(place))
            for marked, rows in steps:
                ready[list(rows)] = marked
                if marked:
                    opened.set_ready(sorted(rows))
                else:
                    for row in rows:
                        opened.clear(row)
            opened.close()
            again = self.open(Path(place))
            assert again.ready.tolist() == (ready.tolist() if self.keeps else [False] * CHUNKS)
            again.close()

    def test_neighbours_lose_no_mark(self, tmp_path: Path) -> None:
        """Two that have the map open mark chunks of the same bytes: none is lost."""
        both = [self.open(tmp_path), self.open(tmp_path)]
        for row in range(CHUNKS):
            both[row % 2].set_ready([row])
        for opened in both:
            opened.close()
        again = self.open(tmp_path)
        assert again.ready.all() == self.keeps
        again.close()


class InFlightConformance:
    """What is in flight over a map: who waits is woken, whatever comes of it.

    Attributes
    ----------
    kind
        The kind of cache.
    """

    kind = CacheKind()

    @pytest.fixture
    def made(self, tmp_path: Path) -> Made:
        """Eight chunks of 9,000 bytes of noise."""
        (tmp_path / "blobs").mkdir()
        dice = np.random.default_rng(1)
        return make_blobs(tmp_path / "blobs", [[dice.bytes(9000) for _ in range(8)]])

    def open(self, made: Made, backend: WatchedBackend, plan: str = "exact") -> FileCache:
        """The cache of the blobs, over a backend."""
        return open_cache(made, made.folder.parent / "cache", backend=backend, plan=plan, kind=self.kind)

    def test_waiters(self, made: Made) -> None:
        """Eight readers of one chunk make one request, and all get its bytes."""
        gate = threading.Event()
        backend = WatchedBackend(LocalFs(made.folder), lambda *asked: _pass(gate))
        cache = self.open(made, backend)
        readers = [_Reader(cache, made) for _ in range(8)]
        _until(lambda: len(backend.requests) == 1)
        gate.set()
        assert [reader.outcome() for reader in readers] == [None] * 8
        assert len(backend.requests) == 1
        assert_at_rest(cache)
        cache.close()

    def test_failure_wakes_all(self, made: Made) -> None:
        """The request that eight readers wait for fails: its reader is told, one of the others asks again for all."""
        gate = threading.Event()

        def first_fails(blob_id: str, offset: int, length: int) -> None:
            _pass(gate)
            if len(backend.requests) == 1:
                raise BackendError("the line is bad", blob=blob_id)

        backend = WatchedBackend(LocalFs(made.folder), first_fails)
        cache = self.open(made, backend)
        readers = [_Reader(cache, made) for _ in range(8)]
        _until(lambda: len(backend.requests) == 1 and sum(reader.is_alive() for reader in readers) == 8)
        time.sleep(0.05)  # for the others to have come to wait
        gate.set()
        outcomes = [reader.outcome() for reader in readers]
        assert sorted(outcome is None for outcome in outcomes) == [False] + [True] * 7
        assert len(backend.requests) == 2
        assert_at_rest(cache)
        cache.close()

    def test_patience_ends(self, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        """Under plan `reference`, who has waited too long for a chunk fetches it himself, and need not wait on."""
        monkeypatch.setattr("storage.cache._filecache._PATIENCE_S", 0.2)
        gate = threading.Event()

        def first_hangs(blob_id: str, offset: int, length: int) -> None:
            if len(backend.requests) == 1:
                _pass(gate)

        backend = WatchedBackend(LocalFs(made.folder), first_hangs)
        cache = self.open(made, backend, "reference")
        slow = _Reader(cache, made)
        _until(lambda: len(backend.requests) == 1)
        assert _Reader(cache, made).outcome() is None
        assert len(backend.requests) == 2
        assert slow.is_alive()
        gate.set()
        assert slow.outcome() is None
        assert_at_rest(cache)
        cache.close()

    def test_restart(self, made: Made) -> None:
        """What was read is served without the backend by who opens the folder again."""
        cache = self.open(made, WatchedBackend(LocalFs(made.folder)))
        read_chunks(cache, made, [1, 2, 5])
        cache.close()
        again = self.open(made, WatchedBackend(LocalFs(made.folder), refuse))
        read_chunks(again, made, [1, 2, 5])
        assert ready_rows(again) == [1, 2, 5]
        with pytest.raises(BackendError):
            read_chunks(again, made, [3])
        again.close()


class _Reader(threading.Thread):
    """Reads chunk 3."""

    def __init__(self, cache: FileCache, made: Made) -> None:
        super().__init__(daemon=True)
        self._cache, self._made = cache, made
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Read, and keep what is raised."""
        try:
            read_chunks(self._cache, self._made, [3])
        except BaseException as error:
            self._error = error

    def outcome(self) -> BaseException | None:
        """What came of it, once it has."""
        self.join(_WAIT_S)
        assert not self.is_alive(), "a reader hangs"
        return self._error


def _pass(gate: threading.Event) -> None:
    assert gate.wait(_WAIT_S)


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)
