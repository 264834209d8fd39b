"""Traces to compare on, and what libcachesim says of them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import libcachesim
import numpy as np

from workbench.replay import Workload
from workbench.simulate import ObjectTrace
from workbench.trace import dataset
from workbench.trace.formats import write_oracle_general

__all__ = ["COMPARED", "SHARES", "theirs", "traces"]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
THEIRS = {
    "fifo": libcachesim.FIFO,
    "lru": libcachesim.LRU,
    "sieve": libcachesim.Sieve,
    "clock": libcachesim.Clock,
    "lfu": libcachesim.LFU,
    "lfuda": libcachesim.LFUDA,
    "gdsf": libcachesim.GDSF,
    "lru-k": libcachesim.LRUK,
    "slru": libcachesim.SLRU,
    "2q": libcachesim.TwoQ,
    "arc": libcachesim.ARC,
    "s3-fifo": libcachesim.S3FIFO,
    "mq": libcachesim.MQ,
    "lirs": libcachesim.LIRS,
    "w-tinylfu": libcachesim.WTinyLFU,
    "belady": libcachesim.Belady,
    "hyperbolic": libcachesim.Hyperbolic,
    "lhd": libcachesim.LHD,
    "belady-size": libcachesim.BeladySize,
    "random": libcachesim.Random,
    "lecar": libcachesim.LeCaR,
    "3l-cache": libcachesim.ThreeLCache,
    "lrb": libcachesim.LRB,
}
COMPARED = list(THEIRS)[: list(THEIRS).index("belady") + 1]
OBJECTS = 1000
BLOCK = 4096


@functools.cache
def traces(sized: bool = True) -> dict[str, ObjectTrace]:
    """Zipf, scans in it, loops, and blocks that the recorded programs read; all objects of one byte if not `sized`."""
    rng = np.random.default_rng(7)
    zipf = np.minimum(rng.zipf(1.2, 12000) - 1, OBJECTS - 1)
    kinds = {
        "zipf": zipf,
        "scan + zipf": np.where(rng.random(12000) < 0.7, zipf, np.arange(12000) % OBJECTS),
        "loops": np.concatenate([np.tile(np.arange(400), 20), np.tile(np.arange(200, 900), 6)]),
    }
    sizes = rng.integers(1, 2000, OBJECTS) if sized else np.ones(OBJECTS, np.int64)
    made = {name: ObjectTrace.from_arrays(objects, sizes[objects]) for name, objects in kinds.items()}
    blocks, lengths = recorded_blocks()
    return made | {"first-light": ObjectTrace.from_arrays(blocks, lengths if sized else 1)}


@functools.cache
def recorded_blocks() -> tuple[Any, Any]:
    """Blocks of 4 KiB of the chunks that the shipped recording reads, and their bytes: ends of chunks are shorter."""
    recorded = dataset()
    work = Workload.from_reads(recorded.reads, recorded.image)
    first = work.segments.offset // BLOCK
    count = (work.segments.offset + work.segments.length - 1) // BLOCK - first + 1
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    chunk = np.repeat(work.segments.chunk, count)
    return chunk * (1 << 20) + within, np.minimum(work.layout.size[chunk] - within * BLOCK, BLOCK)


def theirs(name: str, trace: ObjectTrace, size: int, folder: Path) -> tuple[int, int]:
    """Misses and bytes missed, as libcachesim counts them."""
    path = folder / f"{id(trace)}.oracleGeneral"
    if not path.exists():
        write_oracle_general(path, trace)
    reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    ratio, byte_ratio = THEIRS[name](cache_size=size, hashpower=13).process_trace(reader)
    return round(ratio * len(trace)), round(byte_ratio * trace.bytes)
