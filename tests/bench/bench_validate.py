"""Live against replay: five workloads under four configurations, each predicted from a run under another.

Run as ``python tests/bench/bench_validate.py [runs]``. The link is shaped in process; the live column is a median.
Each row says by how much the replay is off: in requests and bytes received and in the time to the last read, as a
share of the live value; in the most wrong part of the bytes asked for (hit, waited for, fetched, evicted) and of the
seconds (round trips, bandwidth, waiting, decoding, thinking), as a share of their sum. One reader without prefetch
must do the very same, row for row; all else may be off by 5 %.

Everything sleeps most of the time. Where it may, the process asks for the real-time scheduler, so that what else a
machine does is not measured.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from storage.backend import Link
from storage.image import open_image
from storage.image.build import build
from workbench.replay import Settings, Validation, Workload, validate

LINK = Link(rtt_ns=30_000_000, bandwidth=8_000_000)
WORKLOADS = ("sequential", "random", "zipf", "threads", "same")
FILES, CHUNK, READS = 40, 64 << 10, 80
WITHIN = 0.05


def configs(touched: int) -> dict[str, Settings]:
    """Four of them; what a cache may hold is a third of what is read."""
    return {
        "plain": Settings(link=LINK, amplify_io=0),
        "amplified": Settings(link=LINK, amplify_io=512 << 10),
        "prefetch": Settings(link=LINK, amplify_io=0, prefetch="whole blob", prefetch_workers=2),
        "lru": Settings(link=LINK, amplify_io=128 << 10, eviction="lru", capacity=touched // 3),
    }


def image_of(folder: Path, seed: int = 5) -> tuple[Path, npt.NDArray[np.int64]]:
    """Files of 20 to 400 KB that do not compress, and their sizes."""
    rng, root = np.random.default_rng(seed), folder / "root"
    sizes = rng.integers(20_000, 400_000, FILES)
    root.mkdir()
    for number, size in enumerate(sizes):
        (root / f"{number:02}").write_bytes(rng.bytes(int(size)))
    build(root, folder / "image", chunk_size=CHUNK)
    return folder / "image", sizes


def picks_of(kind: str, thread: int, seed: int = 1) -> npt.NDArray[np.int64]:
    """Files in the order in which one thread reads them."""
    rng = np.random.default_rng(seed if kind == "same" else seed + thread)
    if kind == "sequential":
        return np.arange(READS) % FILES
    if kind == "zipf":
        return rng.zipf(1.3, READS) % FILES
    return rng.integers(0, FILES, READS if kind == "random" else READS // 2)


def reads(kind: str, sizes: npt.NDArray[np.int64], seed: int = 1) -> pa.Table:
    """One reader in order, at random, or by Zipf; four at random, or four that read the same. All think 5 to 40 ms."""
    threads = 4 if kind in ("threads", "same") else 1
    picks = [picks_of(kind, thread, seed) for thread in range(threads)]
    files = np.concatenate(picks)
    thread = np.repeat(np.arange(threads, dtype=np.int32), [len(mine) for mine in picks])
    return pa.table(
        {
            "read_id": np.arange(len(files)),
            "t_ns": np.arange(len(files)),
            "think_ns": np.random.default_rng(seed).integers(5_000_000, 40_000_000, len(files)),
            "thread": thread,
            "program": ["p"] * len(files),
            "path": [f"/{pick:02}" for pick in files],
            "offset": np.zeros(len(files), np.int64),
            "length": sizes[files],
        }
    )


def cell(image: Path, sizes: npt.NDArray[np.int64], kind: str, config: str, runs: int) -> Validation:
    """One workload under one configuration; costs are those of a run under another."""
    trace = reads(kind, sizes)
    known = configs(Workload.from_reads(trace, open_image(image)).touched_bytes)
    other = known["plain" if config != "plain" else "amplified"]
    return validate(image, trace, known[config], fitted_on=replace(other), runs=runs, progress=False)


def is_serial(kind: str, config: str) -> bool:
    """Whether nothing is left to chance."""
    return kind in ("sequential", "random", "zipf") and config != "prefetch"


def holds(kind: str, config: str, found: Validation) -> bool:
    """Whether the replay is what it is said to be."""
    return found.agrees(WITHIN) and (found.identical or not is_serial(kind, config))


def row_of(kind: str, config: str, found: Validation) -> dict[str, Any]:
    """A row of the table that is printed."""
    off = found.table["off"]
    asked = off[["bytes_hit", "bytes_waited", "bytes_fetched", "bytes_evicted"]]
    seconds = off[["rtt_ns", "bandwidth_ns", "waiting_ns", "decode_ns", "think_ns"]]
    return {
        "workload": kind,
        "config": config,
        "live s": f"{found.table.loc['time_to_last_read_ns', 'live'] / 1e9:.3f}",
        "time": _share(off["time_to_last_read_ns"]),
        "requests": _share(off["requests"]),
        "received": _share(off["bytes_received"]),
        "asked": _worst(asked),
        "seconds": _worst(seconds),
        "decisions": "identical" if found.identical else "not all" if is_serial(kind, config) else "-",
        "verdict": "holds" if holds(kind, config, found) else "OFF",
    }


def _share(value: float) -> str:
    return f"{value:+.1%}"


def _worst(off: pd.Series) -> str:
    name = str(off.abs().idxmax())
    return f"{_share(off[name])} {name.removeprefix('bytes_').removesuffix('_ns')}"


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """The rows, and how many hold."""
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"{sum(row['verdict'] == 'holds' for row in rows)} of {len(rows)} hold within {WITHIN:.0%}")


def main() -> None:
    """Print the table, a row as soon as it is there."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        image, sizes = image_of(Path(folder))
        for kind in WORKLOADS:
            for config in configs(0):
                rows.append(row_of(kind, config, cell(image, sizes, kind, config, runs)))
                print(*rows[-1].values(), file=sys.stderr, flush=True)
    print_table(rows)


if __name__ == "__main__":
    main()
