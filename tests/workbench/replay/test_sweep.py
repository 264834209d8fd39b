"""Sweeps: every cell once, resumed, with failures kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.backend import LINKS
from storage.errors import ConfigError
from storage.image import open_image
from tests.workbench.replay.test_live import reads_of
from workbench.replay import Settings, Workload, replay, sweep

GRID = {"eviction": ["none", "lru"], "capacity": [0.25, 0.5], "amplify_io": [0, 1 << 20], "link": ["lan", "wan"]}


def test_cells(image_dir: Path, tmp_path: Path) -> None:
    """Each combination is a row, once for no eviction, as a replay by itself would give it."""
    image, reads = open_image(image_dir), reads_of(image_dir, 60, seed=3)
    found = sweep(GRID, {"t": reads}, {"a": image_dir, "b": image}, tmp_path, workers=0)
    frame = found.frame()
    assert len(frame) == 2 * (1 + 2) * 2 * 2
    assert frame["time_to_last_read_ms"].is_monotonic_increasing
    assert (frame["above_bound"] >= 0).all()
    assert not len(found.failed)
    workload = Workload.from_reads(reads, image)
    row = frame[(frame["eviction"] == "lru") & (frame["capacity"] == "0.25") & (frame["link"] == "lan")].iloc[0]
    settings = Settings(
        eviction="lru",
        capacity=int(0.25 * workload.touched_bytes),
        amplify_io=int(row["amplify_io"]),
        link=LINKS["lan"],
    )
    assert row["time_to_last_read_ms"] == replay(workload, None, settings).time_to_last_read_ns / 1e6


def test_resumed_and_failing(image_dir: Path, tmp_path: Path) -> None:
    """What is there is not done again; one cell that fails is told of, and tried the next time."""
    reads = {"t": reads_of(image_dir, 30, seed=3)}
    prefetch = {"none": None, "broken": [1 << 40]}
    first = sweep({"prefetch": prefetch}, reads, {"a": image_dir}, tmp_path, workers=0)
    assert first.failed["prefetch"].tolist() == ["broken"]
    assert "does not have" in first.failed["error"][0]
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert len(files) == 1
    again = sweep({"prefetch": {**prefetch, "all": "whole blob"}}, reads, {"a": image_dir}, tmp_path, workers=0)
    assert len(again.frame()) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in files.items())
    assert again.failed["prefetch"].tolist() == ["broken"]


@pytest.mark.slow
def test_on_cores_and_on_dask(image_dir: Path, tmp_path: Path) -> None:
    """Processes of this machine, and a Dask cluster's workers, give the rows that one process gives."""
    distributed = pytest.importorskip("distributed", reason="needs dask's distributed")
    reads, images = {"t": reads_of(image_dir, 30, seed=3)}, {"a": image_dir}
    grid = {"amplify_io": [0, 1 << 20]}
    expected = sweep(grid, reads, images, tmp_path / "0", workers=0).frame()
    assert sweep(grid, reads, images, tmp_path / "1", workers=1).frame().equals(expected)
    with distributed.LocalCluster(n_workers=1, dashboard_address=None) as local, distributed.Client(local) as client:
        assert sweep(grid, reads, images, tmp_path / "2", client=client).frame().equals(expected)


def test_no_such_axis(image_dir: Path, tmp_path: Path) -> None:
    """An axis that is no setting is refused."""
    with pytest.raises(ConfigError, match="colour"):
        sweep({"colour": [1]}, {"t": reads_of(image_dir, 5, seed=3)}, {"a": image_dir}, tmp_path)
