"""Untimed simulation against libcachesim: requests a second of each policy, on one core, in turns; medians.

Run as ``python tests/bench/bench_policies.py [requests] [objects] [policies]``. Both take the same requests for equally
large objects; libcachesim reads them from memory-mapped oracleGeneral records, its hash table sized to the objects. A
trace is numbered once and then run through as many caches as one likes; libcachesim looks ids up in each run. What
numbering and a single run come to together is measured by itself.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import libcachesim
import numpy as np

from workbench import policy
from workbench.simulate import ObjectTrace, lru_curve, simulate
from workbench.trace.formats import write_oracle_general

SIZE = 4096
SHARES = (0.1,)
ROUNDS = 3
THEIRS = {
    "lru": libcachesim.LRU,
    "fifo": libcachesim.FIFO,
    "sieve": libcachesim.Sieve,
    "s3-fifo": libcachesim.S3FIFO,
    "clock": libcachesim.Clock,
    "lfu": libcachesim.LFU,
    "lfuda": libcachesim.LFUDA,
    "slru": libcachesim.SLRU,
    "arc": libcachesim.ARC,
    "2q": libcachesim.TwoQ,
    "gdsf": libcachesim.GDSF,
    "random": libcachesim.Random,
    "lirs": libcachesim.LIRS,
    "lecar": libcachesim.LeCaR,
    "cacheus": libcachesim.Cacheus,
    "hyperbolic": libcachesim.Hyperbolic,
    "lhd": libcachesim.LHD,
    "w-tinylfu": libcachesim.WTinyLFU,
    "mq": libcachesim.MQ,
    "lru-k": libcachesim.LRUK,
    "belady": libcachesim.Belady,
    "belady-size": libcachesim.BeladySize,
}
FIRST_USE = """
import sys, time
from workbench.simulate import ObjectTrace, simulate
trace = ObjectTrace.from_arrays([1, 2, 1], 1)
start = time.process_time()
simulate(trace, sys.argv[1], 2)
print(time.process_time() - start)
"""


class Newest:
    """A plug-in in plain Python: the newest goes first."""

    def __init__(self, sizes: object, capacity: int) -> None:
        self.chunks: dict[int, None] = {}

    def on_hit(self, chunk: int) -> None:
        """Nothing."""

    def on_admit(self, chunk: int) -> None:
        """It is the newest."""
        self.chunks[chunk] = None

    def victim(self, pinned: object, chunk: int) -> int:
        """The newest."""
        return next(reversed(self.chunks), -1)

    def on_remove(self, chunk: int) -> None:
        """It is gone."""
        del self.chunks[chunk]


def zipf(requests: int, objects: int, seed: int = 0) -> np.ndarray:
    """Objects, the lower the more popular."""
    ranks = np.cumsum(np.arange(1, objects + 1) ** -1.0)
    return np.minimum(np.searchsorted(ranks, np.random.default_rng(seed).random(requests) * ranks[-1]), objects - 1)


def seconds(run: Callable[[], object]) -> float:
    """Of the processor: what else the machine does is no matter."""
    start = time.process_time()
    run()
    return time.process_time() - start


def theirs(path: Path, name: str, size: int, objects: int) -> float:
    """Seconds of libcachesim."""
    reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    cache = THEIRS[name](cache_size=size, hashpower=max(12, int(np.log2(objects)) + 1))
    return seconds(lambda: cache.process_trace(reader))


def first_use(name: str) -> tuple[float, float]:
    """Seconds of the processor for the first simulation in a process: nothing on disk, and then from there."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        runs = [
            subprocess.run([sys.executable, "-c", FIRST_USE, name], env=environment, capture_output=True, check=True)
            for _ in range(2)
        ]
    cold, warm = (float(run.stdout) for run in runs)
    return cold, warm


def main() -> None:
    """Print a table."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    objects = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    chosen = sys.argv[3].split(",") if len(sys.argv) > 3 else [name for name in THEIRS if name in policy.names()]
    ids = zipf(requests, objects)
    trace = ObjectTrace.from_arrays(ids, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zipf.oracleGeneral"
        write_oracle_general(path, trace)
        for name in chosen:
            for share in SHARES:
                size = int(len(trace.sizes) * share) * SIZE
                simulate(trace, name, size)
                ours, others = [], []
                for _ in range(ROUNDS):
                    ours.append(seconds(lambda name=name, size=size: simulate(trace, name, size)))
                    others.append(theirs(path, name, size, objects))
                mine, other = statistics.median(ours), statistics.median(others)
                print(
                    f"{name:11} cache {share:4.0%}: {requests / mine / 1e6:7.1f} M requests/s, libcachesim "
                    f"{requests / other / 1e6:6.1f} M, ratio {other / mine:6.1f}",
                    flush=True,
                )
        size = len(trace.sizes) // 10 * SIZE
        both = [
            (
                seconds(lambda: simulate(ObjectTrace.from_arrays(ids, SIZE), "lru", size)),
                theirs(path, "lru", size, objects),
            )
            for _ in range(ROUNDS)
        ]
        mine, other = (statistics.median(column) for column in zip(*both, strict=True))
        print(f"lru numbered anew: {requests / mine / 1e6:.1f} M requests/s, ratio {other / mine:.1f}")
        lru_curve(trace)
        whole = statistics.median(seconds(lambda: lru_curve(trace)) for _ in range(ROUNDS))
        one = statistics.median(theirs(path, "lru", len(trace.sizes) * SIZE // 4, objects) for _ in range(ROUNDS))
        print(f"whole LRU curve {whole:.2f} s, a hundred runs {100 * one:.0f} s, ratio {100 * one / whole:.0f}")
    small = ObjectTrace.from_arrays(zipf(300_000, objects), SIZE)
    plain = policy.from_class(Newest)
    rate = len(small) / seconds(lambda: simulate(small, plain, len(small.sizes) * SIZE // 4)) / 1e3
    print(f"a policy in plain Python: {rate:.0f}k requests/s")
    for name in ("lru", "s3-fifo", "lirs", "lecar", "cacheus"):
        print("first use of {}: {:.1f} s, in later processes {:.2f} s".format(name, *first_use(name)), flush=True)


if __name__ == "__main__":
    main()
