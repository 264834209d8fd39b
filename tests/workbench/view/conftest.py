"""Runs made up by hand and by a small machine; the ledgers of both balance by construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from storage.events import EVENTS
from workbench.view import Run

RTT_NS, BYTES_PER_NS = 20_000_000, 0.025
READS = pa.schema(
    [(name, pa.int64()) for name in ("read_id", "t_ns", "dur_ns", "think_ns")]
    + [("thread", pa.int32()), ("program", pa.dictionary(pa.int32(), pa.string()))]
    + [("path", pa.dictionary(pa.int32(), pa.string())), ("offset", pa.int64()), ("length", pa.int64())]
)
_NUMBERS = dict.fromkeys(("seq", "t_ns", "dur_ns", "ttfb_ns", "blob", "chunks", "offset", "length", "user_bytes"), 0)
_NEUTRAL = {**_NUMBERS, "read_id": -1, "fetch_id": -1, "chunk": -1, "worker": 0, "cause": "none", "outcome": "ok"}

Row = dict[str, Any]


def _events_of(rows: list[Row]) -> pa.Table:
    full = [{**_NEUTRAL, "seq": i, **row} for i, row in enumerate(rows)]
    return pa.table([pa.array([row[f.name] for row in full], f.type) for f in EVENTS], schema=EVENTS)


def _reads_of(rows: list[Row]) -> pa.Table:
    full = [{"path": "a.py", "offset": 0, "length": 1, "thread": 0, **row} for row in rows]
    return pa.table([pa.array([row[f.name] for row in full], f.type) for f in READS], schema=READS)


@pytest.fixture
def events_of() -> Callable[[list[Row]], pa.Table]:
    """Events from partial rows; what a row leaves out is neutral."""
    return _events_of


@pytest.fixture
def small() -> Run:
    """Three reads of two programs: one fetched, one hit, one waited for a prefetch.

    In nanoseconds, program A thinks 10, reads for 100, thinks 30, reads for 5; B thinks 20, reads for 50.
    """
    mine, other = {"read_id": 0, "fetch_id": 0}, {"fetch_id": 1, "worker": 1}
    span, ahead = {"chunk": 0, "chunks": 2}, {"chunk": 2, "chunks": 1}
    rows: list[Row] = [
        {"kind": "read", "t_ns": 10, "dur_ns": 100, "read_id": 0, "length": 500, "user_bytes": 500},
        {"kind": "fetch", "t_ns": 12, "cause": "demand", "chunk": 0, "chunks": 1, "length": 200}
        | mine
        | {"user_bytes": 500},
        {"kind": "fetch", "t_ns": 12, "cause": "amplify", "chunk": 1, "chunks": 1, "offset": 200}
        | mine
        | {"length": 100},
        {"kind": "request", "t_ns": 12, "dur_ns": 60, "ttfb_ns": 40, "length": 300} | mine,
        {"kind": "decode", "t_ns": 72, "dur_ns": 15, "length": 900} | mine | span,
        {"kind": "persist", "t_ns": 87, "dur_ns": 5, "length": 900} | mine | span,
        {"kind": "fetch", "t_ns": 120, "cause": "prefetch", "offset": 300, "length": 150} | other | ahead,
        {"kind": "request", "t_ns": 120, "dur_ns": 70, "ttfb_ns": 40, "offset": 300, "length": 150} | other,
        {"kind": "read", "t_ns": 140, "dur_ns": 5, "read_id": 1, "length": 400, "user_bytes": 400},
        {"kind": "hit", "t_ns": 141, "read_id": 1, "chunk": 1, "chunks": 1, "user_bytes": 400},
        {"kind": "read", "t_ns": 165, "dur_ns": 50, "read_id": 2, "length": 300, "user_bytes": 300},
        {"kind": "wait", "t_ns": 166, "dur_ns": 30, "read_id": 2, "chunk": 2, "chunks": 1, "user_bytes": 300},
        {"kind": "decode", "t_ns": 190, "dur_ns": 4, "length": 300} | other | ahead,
        {"kind": "persist", "t_ns": 194, "dur_ns": 2, "length": 300} | other | ahead,
        {"kind": "evict", "t_ns": 200, "chunk": 0, "chunks": 1, "length": 500},
    ]
    reads = [
        {"read_id": 0, "t_ns": 10, "dur_ns": 100, "think_ns": 10, "program": "A", "path": "a.py"},
        {"read_id": 1, "t_ns": 140, "dur_ns": 5, "think_ns": 30, "program": "A", "path": "b.py"},
        {"read_id": 2, "t_ns": 165, "dur_ns": 50, "think_ns": 20, "program": "B", "path": "c.py"},
    ]
    return Run("small", _events_of(rows), _reads_of(reads))


@pytest.fixture
def make() -> Callable[..., Run]:
    """Runs of three programs over one blob, as `_Machine` makes them: by seed, chunks, reads, amplification."""
    return _made


def _made(seed: int = 1, chunks: int = 300, reads: int = 120, window: int = 1 << 20, name: str = "made") -> Run:
    rng = np.random.default_rng(seed)
    machine = _Machine(np.minimum(rng.lognormal(9.5, 1.4, chunks).astype(np.int64) + 200, 1 << 20), window)
    for chunk in np.linspace(0, chunks - 1, 5).astype(int)[1:-1]:
        machine.fetch(int(chunk), 40_000_000, "prefetch", -1, 0, 1)
    log, now = [], 0
    for read_id, (program, chunk) in enumerate(_walk(rng, chunks, reads)):
        think = int(rng.exponential(3e6)) + 50_000
        start, now = now + think, machine.read(chunk, now + think, read_id)
        times = {"t_ns": start, "dur_ns": now - start, "think_ns": think}
        log.append({"read_id": read_id, **times, "program": program, "path": f"pkg{chunk // 40}/m{chunk}.py"})
    return Run(name, _events_of(sorted(machine.rows, key=lambda row: row["t_ns"])), _reads_of(log))


def _walk(rng: np.random.Generator, chunks: int, reads: int) -> Iterator[tuple[str, int]]:
    for program in ("web client", "test runner", "database"):
        at = int(rng.integers(chunks))
        for _ in range(reads // 3):
            at = (at + int(rng.integers(1, 6))) % chunks if rng.random() < 0.75 else int(rng.integers(chunks))
            yield program, at


class _Machine:
    """One reader and a cache without bound; a miss is widened to `window` compressed bytes."""

    def __init__(self, sizes: Any, window: int) -> None:
        self.sizes, self.packed, self.window = sizes, np.maximum(sizes // 3, 100), window
        self.start = np.concatenate([[0], np.cumsum(self.packed)])
        self.ready: dict[int, int] = {}
        self.rows: list[Row] = []
        self.fetches = 0

    def fetch(self, chunk: int, t: int, cause: str, read_id: int, user_bytes: int, worker: int) -> int:
        chunks = self._window(chunk)
        length, plain = int(self.packed[chunks].sum()), int(self.sizes[chunks].sum())
        arrived, decode, persist = t + RTT_NS + int(length / BYTES_PER_NS), plain, plain // 2
        ids = {"read_id": read_id, "fetch_id": self.fetches, "worker": worker}
        span = ids | {"chunk": chunk, "chunks": len(chunks)}
        self.fetches += 1
        for c in chunks:
            why = {"cause": cause if c == chunk or cause == "prefetch" else "amplify", "chunk": c, "chunks": 1}
            given = {"length": int(self.packed[c]), "user_bytes": user_bytes if c == chunk else 0}
            self.rows.append({"kind": "fetch", "t_ns": t, **ids, **why, **given})
            self.ready[c] = arrived + decode + persist
        self.rows.append(
            {"kind": "request", "t_ns": t, "dur_ns": arrived - t, "ttfb_ns": RTT_NS, **ids, "length": length}
        )
        self.rows.append({"kind": "decode", "t_ns": arrived, "dur_ns": decode, **span, "length": plain})
        self.rows.append({"kind": "persist", "t_ns": arrived + decode, "dur_ns": persist, **span, "length": plain})
        return arrived + decode + persist

    def read(self, chunk: int, t: int, read_id: int) -> int:
        size = int(self.sizes[chunk])
        where = {"t_ns": t, "read_id": read_id, "chunk": chunk, "chunks": 1, "user_bytes": size}
        if chunk not in self.ready:
            end = self.fetch(chunk, t, "demand", read_id, size, 0)
        elif self.ready[chunk] > t:
            end = self.ready[chunk]
            self.rows.append({"kind": "wait", "dur_ns": end - t, **where})
        else:
            end = t
            self.rows.append({"kind": "hit", **where})
        end += 4_000 + size // 10
        self.rows.append({"kind": "read", "dur_ns": end - t, "length": size, **where})
        return end

    def _window(self, chunk: int) -> list[int]:
        chunks = [chunk]
        while chunks[-1] + 1 < len(self.sizes) and chunks[-1] + 1 not in self.ready:
            if self.start[chunks[-1] + 2] - self.start[chunk] > self.window:
                break
            chunks.append(chunks[-1] + 1)
        return chunks


@pytest.fixture
def frame() -> pd.DataFrame:
    """A grid of two evictions, cache sizes, amplifications and prefetches."""
    rows = [
        {"eviction": eviction, "cache": cache, "cache_bytes": int(1e7 * cache), "amplify_io": amplify}
        | {"prefetch": prefetch, "time_to_last_read_ms": _milliseconds(eviction, cache, amplify, prefetch)}
        | {"p99_ms": 40.25, "MB": 12.3, "requests": 1234, "hit_ratio": 0.915, "wasted_prefetch_MB": 0.75}
        for eviction in ("none", "lru")
        for cache in (0.1, 1.0)
        for amplify in (0, 1 << 20)
        for prefetch in ("none", "whole blob")
    ]
    return pd.DataFrame(rows)


def _milliseconds(eviction: str, cache: float, amplify: int, prefetch: str) -> float:
    bound = (0 if eviction == "none" else 600) - (500 if eviction == "lru" and cache == 1.0 else 0)
    return 2_000 + bound + (0 if amplify else 3_000) + (1_000 if prefetch == "none" else 0)
