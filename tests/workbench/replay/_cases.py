"""Random layouts, workloads and settings."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from storage.backend import Link
from storage.image.tables import ZRAN
from storage.plan import Layout, Segments
from workbench.policy import amplify, prefetch
from workbench.replay import Cpu, Settings, Workload

__all__ = ["cases", "layout_of", "workload_of"]


def layout_of(rng: np.random.Generator, chunks: int, blobs: int = 1) -> Layout:
    """Chunks of several sizes, some with a gap before them, a few without a digest."""
    blob = np.sort(rng.integers(0, blobs, chunks))
    size = rng.integers(1, 9, chunks) * 16_384
    length = size // rng.integers(1, 5, chunks) + 1
    space = length + np.where(rng.random(chunks) < 0.15, 1_000, 0)
    start, offset = np.zeros(chunks, np.int64), np.zeros(chunks, np.int64)
    for b in range(blobs):
        mine = blob == b
        start[mine] = np.cumsum(space[mine]) - length[mine]
        offset[mine] = np.cumsum(size[mine]) - size[mine]
    known = (rng.random(chunks) < 0.95).astype(np.uint8)
    end, unit, kind = start + length, np.arange(chunks), np.zeros(chunks, np.uint8)
    if rng.random() < 0.4:  # some of them in batches
        unit = np.maximum.accumulate(np.where((rng.random(chunks) < 0.5) | (np.diff(blob, prepend=-1) != 0), unit, 0))
        last = np.searchsorted(unit, unit, side="right") - 1
        start, end, known = start[unit], end[last], known[unit]
        kind = (np.bincount(unit, minlength=chunks)[unit] > 1).astype(np.uint8)
        if rng.random() < 0.3:  # as pieces of a gzip stream, which overlap
            end, kind = end + 500, np.full(chunks, ZRAN, np.uint8)
    return Layout(blob, start, end, offset, size, known, unit, kind)


def workload_of(
    rng: np.random.Generator,
    layout: Layout,
    reads: int,
    threads: int = 1,
    programs: int = 1,
    think: int = 50_000,
    clients: int = 1,
) -> Workload:
    """Reads of up to five chunks, mostly neighbours, some of nothing, shared out over threads, programs and clients."""
    chunks, parts, counts = len(layout.size), [], []
    for _ in range(reads):
        count = int(rng.integers(0, 6))
        first = int(rng.integers(0, chunks))
        rows = np.arange(first, min(first + count, chunks))
        if rng.random() < 0.2:
            rows = rng.permutation(rows)
        parts.append(rows)
        counts.append(len(rows))
    chunk = np.concatenate(parts).astype(np.int64)
    inside = rng.random(len(chunk)) < 0.3
    offset = np.where(inside, layout.size[chunk] // 4, 0)
    length = layout.size[chunk] - offset
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(length)])
    threads_in_all = threads * programs * clients
    return Workload(
        read_id=rng.permutation(reads) * 3,
        think_ns=rng.integers(0, 3, reads) * think,
        offset=np.zeros(reads, np.int64),
        length=np.diff(total[first]),
        first=first,
        segments=Segments(chunk, offset, length),
        thread_first=np.linspace(0, reads, threads_in_all + 1).astype(np.int64),
        program_first=np.arange(0, threads_in_all + 1, threads, dtype=np.int64),
        programs=tuple(f"program {i}" for i in range(programs * clients)),
        layout=layout,
        client_first=np.arange(0, programs * clients + 1, programs, dtype=np.int64),
        client_start=rng.integers(0, 2, clients) * think,
    )


_WINDOWS = st.sampled_from([0, 40_000, 200_000, 1 << 20])
_AMPLIFY = st.sampled_from([amplify.none(), amplify.adaptive(400_000, 20_000), "profile", "fixed=64KiB"])
_PREFETCH = st.sampled_from(
    [prefetch.sequential(1, 5), prefetch.span(100_000, background=False), prefetch.mithril(2, 20, 4), prefetch.pg(4, 2)]
)
_NAMED = [name for name in prefetch.names() if name not in ("table", "landmark", "directory")]  # which need an image


@st.composite
def cases(draw: st.DrawFn, calm: bool = False, plain: bool = False, **fixed: object) -> tuple[Workload, Settings]:
    """A workload, and settings for it; `fixed` ones are as given.

    A `plain` one has one client in a closed loop, and no warm-up; a `calm` one besides a link that refuses nothing.
    """
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    layout = layout_of(rng, draw(st.integers(6, 40)), draw(st.integers(1, 2)))
    threads, programs = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    plain = plain or calm
    clients = 1 if plain else draw(st.sampled_from([1, 1, 2, 3]))
    reads = draw(st.integers(threads * programs * clients, 80))
    think = draw(st.sampled_from([0, 1_000, 5_000_000]))
    workload = workload_of(rng, layout, reads, threads, programs, think, clients)
    share = draw(st.sampled_from([None, 0.05, 0.2, 0.5, 1.0]))
    capacity = None if share is None else int(layout.size.sum() * share)
    marks = None if capacity is None else draw(st.sampled_from([None, (0, capacity), (capacity // 4, capacity // 2)]))
    rows = st.lists(st.integers(0, len(layout.size) - 1), max_size=30)
    settings = {
        "plan": (plan := draw(st.sampled_from(["exact", "reference"]))),
        "amplify_io": draw(_WINDOWS if plan == "reference" else st.one_of(_WINDOWS, _AMPLIFY)),
        "capacity": capacity,
        "watermarks": marks,
        "eviction": draw(st.sampled_from(["none", "fifo", "lru", "sieve"])),
        "prefetch": draw(st.one_of(st.sampled_from(_NAMED), rows, _PREFETCH)),
        "prefetch_workers": draw(st.integers(1, 3)),
        "prefetch_batch": draw(st.sampled_from([None, 0, 300_000])),
        "prefetch_bandwidth": draw(st.sampled_from([0, 0, 1, 20_000_000])),
        "link": Link(
            rtt_ns=draw(st.sampled_from([0, 1, 1_000_000, 900_000_000])),
            bandwidth=draw(st.sampled_from([1_000_000, 24_999_999, 10**9])),
            connections=draw(st.integers(1, 4)),
            jitter_ns=draw(st.sampled_from([0, 3, 2_000_000, (0, 5, 5, 3_000_000)])),
            seed=draw(st.integers(0, 99)),
            connection_bandwidth=draw(st.sampled_from([0, 300_000, 10_000_000])),
            window=draw(st.sampled_from([0, 14_600])),
            requests_per_second=draw(st.sampled_from([0, 7, 1_000])),
            errors_ppm=0 if calm else draw(st.sampled_from([0, 0, 200_000])),
            retries=draw(st.integers(0, 2)),
        ),
        "cpu": Cpu(*draw(st.tuples(*[st.sampled_from([0, 1, 777, 1_000_000])] * 5))),
        "loop": "closed" if plain else draw(st.sampled_from(["closed", "closed", "open"])),
        "warm_up": 0 if plain else draw(st.sampled_from([0, 0, 7])),
    }
    return workload, Settings(**{**settings, **fixed})  # type: ignore[arg-type]
