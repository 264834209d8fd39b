"""A metered backend counts what nydusd's metrics counted over the same reads."""

from __future__ import annotations

import json
from pathlib import Path

from storage.backend import LocalFs, MeteredBackend
from storage.factory import open_store


def test_backend_metrics(refs: Path, tmp_path: Path) -> None:
    """Requests, bytes and both histograms of sizes are those of nydusd, key for key; times are not compared."""
    recorded = json.loads((refs / "nydusd-metrics.json").read_text())
    image = refs / "v6-zstd"
    backend = MeteredBackend(LocalFs(image / "blobs"), "localfs")
    with open_store(image, cache_dir=tmp_path, backend=backend, plan="reference", amplify_io=0) as rafs:
        for path, offset, length in recorded["reads"]:
            rafs.read(path, offset, length)
    ours, theirs = backend.metrics(), recorded["answers"]["/api/v1/metrics/backend"]
    assert ours.keys() == theirs.keys()
    for key in ("backend_type", "read_count", "read_errors", "read_amount_total", "read_count_block_size_dist"):
        assert ours[key] == theirs[key]
    assert [sum(row) for row in ours["read_latency_sizes_dist"]] == [
        sum(row) for row in theirs["read_latency_sizes_dist"]
    ]
