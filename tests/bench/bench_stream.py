"""Traces that are streamed from Parquet: time for each request and memory, from 10⁵ requests on.

Run as ``python tests/bench/bench_stream.py [requests] [objects]``; 10⁸ requests take a few minutes and 500 MB of
disk. Each length is run in a process of its own, so that the peak of its memory is seen, compiled before it is timed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 1 << 20
POLICIES = ("lru", "s3-fifo")
RUN = """
import resource, sys, time
from workbench.simulate import ObjectTrace, simulate
from workbench.trace.formats import object_trace
name, path = sys.argv[1:]
simulate(ObjectTrace.from_arrays([1, 2, 1], 4096), name, 8192)
start = time.thread_time()
trace = object_trace(path, held=False)
numbered = time.thread_time()
outcome = simulate(trace, name, int(trace.sizes.sum()) // 10)
done = time.thread_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(len(trace), len(trace.sizes), numbered - start, done - numbered, outcome.miss_ratio, peak)
"""


def write(path: Path, requests: int, objects: int) -> None:
    """A Zipf trace, made and written a row group at a time."""
    ranks = np.cumsum(np.arange(1, objects + 1) ** -1.0)
    rng = np.random.default_rng(0)
    schema = pa.schema({"obj": pa.int64(), "size": pa.int32()})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, requests, ROW_GROUP):
            count = min(ROW_GROUP, requests - first)
            ids = np.minimum(np.searchsorted(ranks, rng.random(count) * ranks[-1]), objects - 1)
            columns = {"obj": ids, "size": np.full(count, 4096, np.int32)}
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROW_GROUP)


def main() -> None:
    """Print a line for each length and policy."""
    most = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000
    objects = int(float(sys.argv[2])) if len(sys.argv) > 2 else 50_000
    requests = 100_000
    while requests <= most:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.parquet"
            write(path, requests, objects)
            for name in POLICIES:
                done = subprocess.run([sys.executable, "-c", RUN, name, str(path)], capture_output=True, check=True)
                _, known, numbering, running, missed, peak = (float(word) for word in done.stdout.split())
                print(
                    f"{requests:>11,} requests, {known:>9,.0f} objects, {name:8}: {numbering / requests * 1e9:5.1f} ns "
                    f"a request to number, {running / requests * 1e9:5.1f} ns to run, miss ratio {missed:.3f}, "
                    f"peak {peak:.0f} MB",
                    flush=True,
                )
        requests *= 10


if __name__ == "__main__":
    main()
