"""Live against replay: five workloads under four configurations, each predicted from a run under another.

Run as ``python tests/bench/bench_validate.py [runs]``: first on a link that is shaped in process; two of the workloads
there also by a fleet of three machines, by three programs on one cache, in an open loop, and under prefetch policies
that answer reads; then, as root, from a real registry in another network namespace, behind a wire of known delay and
rate. The live column is a median.

Each row says by how much the replay is off: in requests and bytes received and in the time to the last read, as a
share of the live value; in the most wrong part of the bytes asked for (hit, waited for, fetched, evicted) and of the
seconds (round trips, bandwidth, waiting, decoding, thinking), as a share of their sum. One reader without prefetch
must do the very same, row for row; all else may be off by 5 %, from the real registry its time by 10 %. Where a
millisecond decides about more than itself, replays of a machine as late as the live one differ: whether live is within
5 % of their range is told, too.

Everything sleeps most of the time. Where it may, the process asks for the real-time scheduler, so that what else a
machine does is not measured.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from storage.backend import BlobBackend
from tests.workbench.replay._validated import (
    ANSWERING,
    CONFIGS,
    SEVERAL,
    WORKLOADS,
    cell,
    far_registry,
    holds,
    image_of,
    is_serial,
    undisturbed,
)
from workbench.replay import Validation

ASKED = ["bytes_hit", "bytes_waited", "bytes_fetched", "bytes_evicted"]
SECONDS = ["rtt_ns", "bandwidth_ns", "waiting_ns", "decode_ns", "think_ns"]


def row_of(kind: str, config: str, found: Validation, far: bool, how: str) -> dict[str, Any]:
    """A row of the table that is printed."""
    off = found.table["off"]
    return {
        "workload": kind if how == "alone" else f"{kind}, {how}",
        "config": config,
        "live s": f"{found.table.loc['time_to_last_read_ns', 'live'] / 1e9:.3f}",
        "time": f"{off['time_to_last_read_ns']:+.1%}",
        "requests": f"{off['requests']:+.1%}",
        "received": f"{off['bytes_received']:+.1%}",
        "asked": _worst(off[ASKED]),
        "seconds": _worst(off[SECONDS]),
        "decisions": "identical" if found.identical else "not all" if is_serial(kind, config, how) else "-",
        "in range": "yes" if found.is_in_range() else "no",
        "verdict": "holds" if holds(kind, config, found, far, how) else "OFF",
    }


def _worst(off: pd.Series) -> str:
    name = str(off.abs().idxmax())
    return f"{off[name]:+.1%} {name.removeprefix('bytes_').removesuffix('_ns')}"


def measure(
    image: Path,
    runs: int,
    backend: BlobBackend | None = None,
    kinds: Sequence[str] = WORKLOADS,
    configs: Sequence[str] = CONFIGS,
    how: str = "alone",
) -> None:
    """Print the table, and on standard error each row as soon as it is there."""
    rows = []
    for kind, config in product(kinds, configs):
        found = cell(image, kind, config, runs, backend, how)
        rows.append(row_of(kind, config, found, backend is not None, how))
        print(*rows[-1].values(), file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"{sum(row['verdict'] == 'holds' for row in rows)} of {len(rows)} hold\n", flush=True)


def main() -> None:
    """All tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with undisturbed(), tempfile.TemporaryDirectory() as folder:
        image = image_of(Path(folder))
        print("On a shaped link")
        measure(image, runs)
        for how in SEVERAL:
            print(f"The same, {how}")
            measure(image, runs, kinds=("zipf", "threads"), how=how)
        print("The same, with policies that answer reads")
        measure(image, runs, kinds=("zipf", "threads"), configs=ANSWERING)
        try:
            with far_registry(image, Path(folder) / "registry") as registry:
                print("From docker-registry in another network namespace")
                measure(image, runs, registry)
        except pytest.skip.Exception as reason:
            print(f"not run: {reason}")


if __name__ == "__main__":
    main()
