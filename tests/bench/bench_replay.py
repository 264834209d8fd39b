"""Timed replay against libcachesim, which keeps no time: reads a second on one core, and what compiling costs.

Run as ``python tests/bench/bench_replay.py [reads]``. Both take the same trace of equally long
chunks, in turns; medians of the thread's CPU time. libcachesim reads it from memory-mapped oracleGeneral records, its
hash table sized to the trace.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import libcachesim
import numpy as np

from storage.plan import Layout, Segments
from workbench.replay import Settings, Workload, replay

CHUNKS = 20_000
SIZE = 65_536
ROUNDS = 5
ORACLE = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
POLICIES = {"lru": libcachesim.LRU, "fifo": libcachesim.FIFO, "sieve": libcachesim.Sieve}
COMPILE = """
import time
from tests.bench.bench_replay import workload
from workbench.replay import Settings, replay
start = time.process_time()
replay(workload(1000, 1), None, Settings())
print(time.process_time() - start)
"""


def zipf(reads: int, seed: int = 0) -> np.ndarray:
    """Chunk rows, the lower the more popular."""
    ranks = np.arange(1, CHUNKS + 1) ** -1.0
    picks = np.random.default_rng(seed).random(reads) * ranks.sum()
    return np.minimum(np.searchsorted(np.cumsum(ranks), picks), CHUNKS - 1)


def workload(reads: int, threads: int) -> Workload:
    """A read of one whole chunk each, in equal shares for each thread."""
    start = np.arange(CHUNKS) * SIZE
    known, alone = np.ones(CHUNKS, np.uint8), np.zeros(CHUNKS, np.uint8)
    layout = Layout(
        np.zeros(CHUNKS, np.int64), start, start + SIZE, start, np.full(CHUNKS, SIZE), known, np.arange(CHUNKS), alone
    )
    count = np.full(reads, SIZE)
    return Workload(
        read_id=np.arange(reads),
        think_ns=np.full(reads, 1_000),
        offset=np.zeros(reads, np.int64),
        length=count,
        first=np.arange(reads + 1),
        segments=Segments(zipf(reads), np.zeros(reads, np.int64), count),
        thread_first=np.linspace(0, reads, threads + 1).astype(np.int64),
        program_first=np.array([0, threads]),
        programs=("zipf",),
        layout=layout,
    )


def replay_rate(work: Workload, name: str, share: float) -> float:
    """Millions of timed reads a second."""
    settings = Settings(eviction=name, capacity=int(CHUNKS * SIZE * share), amplify_io=0)
    start = time.thread_time()
    replay(work, None, settings)
    return len(work) / (time.thread_time() - start) / 1e6


def simulator_rate(path: Path, reads: int, name: str, share: float) -> float:
    """Millions of requests a second, untimed."""
    reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    cache = POLICIES[name](cache_size=int(CHUNKS * SIZE * share), hashpower=16)
    start = time.thread_time()
    cache.process_trace(reader)
    return reads / (time.thread_time() - start) / 1e6


def compile_times() -> tuple[float, float]:
    """Seconds of the processor for the first replay in a process: nothing on disk, and then from there."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": "."}
        runs = [
            subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, check=True)
            for _ in range(2)
        ]
    cold, warm = (float(run.stdout) for run in runs)
    return cold, warm


def main() -> None:
    """Print a table."""
    reads = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    print("first replay: {:.1f} s cold, {:.2f} s cached".format(*compile_times()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zipf.oracleGeneral"
        records = np.zeros(reads, ORACLE)
        records["id"], records["size"], records["next"] = zipf(reads), SIZE, -2
        records.tofile(path)
        for threads in (1, 4):
            work = workload(reads, threads)
            for name in POLICIES:
                for share in (1.0, 0.5):
                    replay_rate(work, name, share)
                    ours, theirs = [], []
                    for _ in range(ROUNDS):
                        ours.append(replay_rate(work, name, share))
                        theirs.append(simulator_rate(path, reads, name, share))
                    mine, other = statistics.median(ours), statistics.median(theirs)
                    print(
                        f"{threads} threads, {name:5} cache {share:4.0%}: replay {mine:6.1f} M timed reads/s, "
                        f"libcachesim {other:6.1f} M untimed, ratio {mine / other:.2f}"
                    )


if __name__ == "__main__":
    main()
