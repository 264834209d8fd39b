"""Sweeps: every cell once, resumed, with failures kept apart."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from storage.backend import LINKS
from storage.errors import ConfigError
from storage.image import open_image
from workbench import policy
from workbench.policy import PythonPolicy
from workbench.replay import Settings, Workload, replay, sweep
from workbench.replay._identity import spelled
from workbench.testing import random_reads

GRID = {"eviction": ["none", "lru"], "capacity": [0.25, 0.5], "amplify_io": [0, 1 << 20], "link": ["lan", "wan"]}


def test_cells(image_dir: Path, tmp_path: Path) -> None:
    """Each combination is a row, once for no eviction, as a replay by itself would give it."""
    image, reads = open_image(image_dir), random_reads(image_dir, 60, seed=3)
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
    reads = {"t": random_reads(image_dir, 30, seed=3)}
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


def _every(step: int) -> type[PythonPolicy]:
    class Every:
        """The chunk `step` places from the oldest goes."""

        def __init__(self, sizes: Sequence[int], capacity: int) -> None:
            self.chunks: list[int] = []

        def on_hit(self, chunk: int) -> None:
            pass

        def on_admit(self, chunk: int) -> None:
            self.chunks.append(chunk)

        def victim(self, pinned: Sequence[int], chunk: int) -> int:
            free = [chunk for chunk in self.chunks if not pinned[chunk]]
            return free[min(step, len(free) - 1)] if free else -1

        def on_remove(self, chunk: int) -> None:
            self.chunks.remove(chunk)

    return Every


def test_policies_of_one_name(image_dir: Path, tmp_path: Path) -> None:
    """Two policies that differ only in what they close over are two cells, and each is found again by what it does."""
    reads = {"t": random_reads(image_dir, 60, seed=3)}

    def found(*steps: int) -> pd.DataFrame:
        grid = {"eviction": [policy.from_class(_every(step)) for step in steps]}
        return sweep(grid, reads, {"a": image_dir}, tmp_path, Settings(capacity=200_000), workers=0).frame()

    first = found(0, 2)
    assert sorted(first["eviction"]) == ["Every", "Every (2)"]
    assert first["bytes_received"].nunique() == 2
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert len(found(0, 2)) == len(files) == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == files
    assert len(found(1)) == 3


def test_what_cannot_be_sent(image_dir: Path, tmp_path: Path) -> None:
    """A cell that no other process can be given is told of; the rest is done."""
    open_file = (tmp_path / "log").open("w")

    class Logged(_every(1)):  # type: ignore[misc]
        log = open_file

    grid = {"eviction": ["lru", "fifo", policy.from_class(Logged)]}
    reads, settings = {"t": random_reads(image_dir, 30, seed=3)}, Settings(capacity=200_000)
    found = sweep(grid, reads, {"a": image_dir}, tmp_path / "out", settings, workers=1)
    open_file.close()
    assert set(found.frame()["eviction"]) == {"lru", "fifo"}
    assert found.failed["eviction"].tolist() == ["Logged"]
    assert "cannot be sent" in found.failed["error"][0]


def test_policy_is_what_it_does() -> None:
    """What a policy has learned so far, and where it lies in memory, is no part of what it is; what it calls is."""
    one, same, other = (policy.from_class(_every(step)) for step in (1, 1, 2))
    before = spelled(one)
    one.functions.init((), (), [1, 1], 5)
    one.functions.on_admit((), (), 1)
    assert spelled(one) == before == spelled(same) != spelled(other)
    assert spelled(policy.get("lru")) == "lru"
    assert spelled(policy.get("lru+size=1MiB")) != spelled(policy.get("lru+size=2MiB"))


_SWEEPS = """
import sys, time
import pyarrow.parquet as pq
from workbench.replay import _sweep, sweep
whole = _sweep._row
def slowly(*cell):
    time.sleep(0.05)
    return whole(*cell)
_sweep._row = slowly
if __name__ == "__main__":
    reads, image, out = sys.argv[1:]
    sweep({"amplify_io": list(range(0, 60_000, 1_000))}, {"t": pq.read_table(reads)}, {"a": image}, out, workers=0)
"""


def test_goes_on_after_a_kill(image_dir: Path, tmp_path: Path) -> None:
    """What was there when the process was killed is whole and stays; with the rest, rows are those of one go."""
    reads, out = random_reads(image_dir, 30, seed=3), tmp_path / "out"
    pq.write_table(reads, tmp_path / "reads.parquet")
    command = [sys.executable, "-c", _SWEEPS, str(tmp_path / "reads.parquet"), str(image_dir), str(out)]
    with subprocess.Popen(command) as process:
        while len(list(out.rglob("*.parquet"))) < 5:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    files = {path: path.stat().st_mtime_ns for path in out.rglob("[!.]*.parquet")}
    assert 5 <= len(files) < 60
    grid, traces, images = {"amplify_io": list(range(0, 60_000, 1_000))}, {"t": reads}, {"a": image_dir}
    again = sweep(grid, traces, images, out, workers=0)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    whole = sweep(grid, traces, images, tmp_path / "whole", workers=0)
    rows, expected = (found.table().sort_by("amplify_io") for found in (again, whole))
    assert rows.equals(expected)


@pytest.mark.slow
def test_on_cores_and_on_dask(image_dir: Path, tmp_path: Path) -> None:
    """Processes of this machine, and a Dask cluster's workers, give the rows that one process gives."""
    distributed = pytest.importorskip("distributed", reason="needs dask's distributed")
    reads, images = {"t": random_reads(image_dir, 30, seed=3)}, {"a": image_dir}
    grid = {"amplify_io": [0, 1 << 20], "eviction": ["lru", policy.from_class(_every(1))]}
    settings = Settings(capacity=200_000)
    expected = sweep(grid, reads, images, tmp_path / "0", settings, workers=0).frame()
    assert len(expected) == 4
    assert sweep(grid, reads, images, tmp_path / "1", settings, workers=1).frame().equals(expected)
    with distributed.LocalCluster(n_workers=1, dashboard_address=None) as local, distributed.Client(local) as client:
        assert sweep(grid, reads, images, tmp_path / "2", settings, client=client).frame().equals(expected)


def test_no_such_axis(image_dir: Path, tmp_path: Path) -> None:
    """An axis that is no setting is refused."""
    with pytest.raises(ConfigError, match="colour"):
        sweep({"colour": [1]}, {"t": random_reads(image_dir, 5, seed=3)}, {"a": image_dir}, tmp_path)
