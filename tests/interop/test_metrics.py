"""A metered backend counts what nydusd's metrics counted over the same reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.backend import LocalFs, MeteredBackend
from storage.cache import FileCache
from storage.config import parse_config
from storage.configured import open_configured
from storage.factory import open_store
from storage.metrics import Fop

pytestmark = pytest.mark.needs("nydusd-metrics.json", "v6-zstd")


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


def test_files_metrics(refs: Path, tmp_path: Path) -> None:
    """Over the same reads, with all three switches on, what nydusd's file metrics say of reads: key for key."""
    recorded = json.loads((refs / "nydusd-metrics.json").read_text())
    answers, image = recorded["answers"], refs / "v6-zstd"
    rafs = {name: recorded["config"][name] for name in ("iostats_files", "access_pattern", "latest_read_files")}
    assert all(rafs.values())
    config = parse_config(
        json.dumps(
            {
                "version": 2,
                "backend": {"type": "localfs", "localfs": {"dir": str(image / "blobs")}},
                "cache": {"type": "filecache", "filecache": {"work_dir": str(tmp_path)}},
                "rafs": rafs | {"batch_size": 0},
            }
        )
    )
    with open_configured(image, config, plan="reference") as opened:
        for path, offset, length in recorded["reads"]:
            opened.read(path, offset, length)
        ours, files, pattern = opened.stats.metrics(), opened.stats.files(), opened.stats.access_pattern()
        assert opened.stats.latest_read_files() == answers["/api/v1/metrics/files?latest=true"]
        assert opened.stats.latest_read_files() == []
    theirs = answers["/api/v1/metrics"]
    assert ours.keys() == theirs.keys()
    switches = [key for key, value in theirs.items() if isinstance(value, bool)]
    for key in (*switches, "id", "nr_opens", "data_read", "block_count_read", "fop_errors"):
        assert ours[key] == theirs[key], key
    assert ours["fop_hits"][Fop.READ] == theirs["fop_hits"][Fop.READ] == sum(ours["read_latency_dist"])
    its = {ino: file for ino, file in answers["/api/v1/metrics/files"].items() if file["fop_hits"][Fop.READ]}
    assert its.keys() == files.keys()
    for ino, file in its.items():
        assert files[ino].keys() == file.keys()
        assert files[ino]["fop_hits"][Fop.READ] == file["fop_hits"][Fop.READ]
        assert {**files[ino], "total_fops": 0, "fop_hits": []} == {**file, "total_fops": 0, "fop_hits": []}
    assert [(each["ino"], each["nr_read"]) for each in pattern] == [
        (each["ino"], each["nr_read"]) for each in answers["/api/v1/metrics/pattern"]
    ]
    assert [each.keys() for each in pattern] == [each.keys() for each in answers["/api/v1/metrics/pattern"]]


def test_cache_metrics(refs: Path, tmp_path: Path) -> None:
    """Over the same reads, every key and figure of nydusd's cache metrics, but for where its folder was."""
    recorded = json.loads((refs / "nydusd-metrics.json").read_text())
    with open_store(refs / "v6-zstd", cache_dir=tmp_path, plan="reference", amplify_io=0) as rafs:
        for path, offset, length in recorded["reads"]:
            rafs.read(path, offset, length)
        assert isinstance(rafs.cache, FileCache)
        ours, theirs = rafs.cache.metrics(), recorded["answers"]["/api/v1/metrics/blobcache"]
    assert ours == theirs | {"store_path": str(tmp_path)}
