"""Live against replay: five workloads under four configurations, each predicted from a run under another.

Run as ``python tests/bench/bench_validate.py [runs]``. The link is shaped in process; medians.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from storage.backend import Link
from storage.image.build import build
from workbench.replay import Settings, validate

LINK = Link(rtt_ns=30_000_000, bandwidth=8_000_000)
CONFIGS = {
    "plain": Settings(link=LINK, amplify_io=0),
    "amplified": Settings(link=LINK, amplify_io=512 << 10),
    "prefetch": Settings(link=LINK, amplify_io=0, prefetch="whole blob", prefetch_workers=2),
    "lru": Settings(link=LINK, amplify_io=128 << 10, eviction="lru", capacity=4_000_000),
}
MEASURES = ["requests", "bytes_received", "bytes_hit", "time_to_last_read_ns", "rtt_ns", "bandwidth_ns", "waiting_ns"]
FILES, CHUNK = 40, 64 << 10


def reads(kind: str, sizes: np.ndarray, seed: int = 1) -> pa.Table:
    """Sequential, random, Zipf, four threads at random, or four threads that read the same."""
    rng = np.random.default_rng(seed)
    threads = 4 if kind in ("threads", "same") else 1
    rows = []
    for thread in range(threads):
        count = 60 // threads * (2 if threads > 1 else 1)
        if kind == "sequential":
            picks = np.arange(count) % FILES
        elif kind == "zipf":
            picks = rng.zipf(1.3, count) % FILES
        elif kind == "same":
            picks = np.random.default_rng(seed).integers(0, FILES, count)
        else:
            picks = rng.integers(0, FILES, count)
        rows += [(int(pick), thread) for pick in picks]
    files, thread = (np.array(column) for column in zip(*rows, strict=True))
    return pa.table(
        {
            "read_id": np.arange(len(rows)),
            "t_ns": np.arange(len(rows)),
            "think_ns": np.full(len(rows), 1_000_000),
            "thread": thread.astype(np.int32),
            "program": ["p"] * len(rows),
            "path": [f"/{pick:02}" for pick in files],
            "offset": np.zeros(len(rows), np.int64),
            "length": sizes[files],
        }
    )


def main() -> None:
    """Print predicted over measured, by workload and configuration."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rng, rows = np.random.default_rng(5), []
    sizes = rng.integers(20_000, 400_000, FILES)
    with tempfile.TemporaryDirectory() as folder:
        root, image = Path(folder) / "root", Path(folder) / "image"
        root.mkdir()
        for number, size in enumerate(sizes):
            (root / f"{number:02}").write_bytes(rng.bytes(int(size)))
        build(root, image, chunk_size=CHUNK)
        for kind in ("sequential", "random", "zipf", "threads", "same"):
            for name, settings in CONFIGS.items():
                other = replace(CONFIGS["amplified" if name != "amplified" else "plain"])
                found = validate(image, reads(kind, sizes), settings, fitted_on=other, runs=runs)
                ratios = found.table["ratio"].reindex(MEASURES).round(3)
                rows.append({"workload": kind, "config": name, **ratios.to_dict()})
                print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)


if __name__ == "__main__":
    main()
