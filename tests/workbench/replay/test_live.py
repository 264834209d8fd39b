"""Replay of a workload against the live store that serves it, one read after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.image import open_image
from storage.image.build import build
from storage.image.tables import BATCH
from workbench.replay import Settings, Workload, calibrate, decisions, replay
from workbench.testing import random_reads, run_serially


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("amplify", [0, 200_000, 1 << 20])
@pytest.mark.parametrize("eviction", [None, "fifo", "lru", "sieve", "lru+tinylfu", "fifo+probabilistic=0.5"])
def test_serial_is_the_same(image_dir: Path, tmp_path: Path, plan: str, amplify: int, eviction: str | None) -> None:
    """Without concurrency, replay does what the live store did: every row, in the same order."""
    reads = random_reads(image_dir, 120, seed=amplify)
    image = open_image(image_dir)
    workload = Workload.from_reads(reads, image)
    capacity = None if eviction is None else workload.touched_bytes // 3
    settings = Settings(plan=plan, amplify_io=amplify, capacity=capacity, eviction=eviction or "none")
    live = decisions(run_serially(image_dir, reads, settings, tmp_path / "cache"))
    replayed = decisions(replay(workload, image, settings, record=True).events())
    assert replayed == live


@pytest.mark.parametrize("amplify", [0, 200_000])
@pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve"])
def test_watermarks_are_the_same(image_dir: Path, tmp_path: Path, amplify: int, eviction: str) -> None:
    """The same with watermarks, which have more go than there must."""
    reads, image = random_reads(image_dir, 120, seed=amplify), open_image(image_dir)
    workload = Workload.from_reads(reads, image)
    half, evicted = workload.touched_bytes // 2, []
    for marks in (None, (half // 4, half), (half // 4, 3 * half // 4)):
        settings = Settings(amplify_io=amplify, capacity=half, eviction=eviction, watermarks=marks)
        result = replay(workload, image, settings, record=True)
        live = run_serially(image_dir, reads, settings, tmp_path / f"{marks}")
        assert decisions(result.events()) == decisions(live)
        evicted.append(result.totals["evictions"])
    assert len(set(evicted)) > 1


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("amplify", [0, 100_000, 1 << 20])
@pytest.mark.parametrize("eviction", [None, "lru"])
def test_serial_is_the_same_of_v5(tree: Path, tmp_path: Path, plan: str, amplify: int, eviction: str | None) -> None:
    """The same of a v5 image, whose chunks share blocks and whose reads are widened by file."""
    image_dir = tmp_path / "image"
    build(tree, image_dir, version=5, chunk_size=64 << 10)
    reads, image = random_reads(image_dir, 120, seed=amplify), open_image(image_dir)
    workload = Workload.from_reads(reads, image)
    capacity = None if eviction is None else workload.touched_bytes // 3
    settings = Settings(plan=plan, amplify_io=amplify, capacity=capacity, eviction=eviction or "none")
    live = decisions(run_serially(image_dir, reads, settings, tmp_path / "cache"))
    assert decisions(replay(workload, image, settings, record=True).events()) == live
    causes = {row["cause"] for row in live}
    assert ("amplify" in causes) == (amplify > 0)


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("eviction", [None, "lru"])
def test_batches_are_the_same(tree: Path, tmp_path: Path, plan: str, eviction: str | None) -> None:
    """The same on an image whose small files are stored in batches."""
    build(tree, tmp_path / "image", chunk_size=64 << 10, batch_size=64 << 10)
    assert (open_image(tmp_path / "image").chunks.kind == BATCH).any()
    test_serial_is_the_same(tmp_path / "image", tmp_path, plan, 200_000, eviction)


def test_calibrate(image_dir: Path, tmp_path: Path) -> None:
    """Costs taken from a run's events are in the order of what the machine can do, and predict that run's work."""
    reads = random_reads(image_dir, 300, seed=1)
    live = run_serially(image_dir, reads, Settings(), tmp_path / "cache")
    cpu = calibrate(live)
    assert 500 < cpu.hit_ns < 2_000_000
    assert 20_000 < cpu.decode_ns_per_mib < 200_000_000
    workload = Workload.from_reads(reads, open_image(image_dir))
    again = calibrate(replay(workload, None, Settings(cpu=cpu), record=True).events())
    assert again.hit_ns == pytest.approx(cpu.hit_ns, rel=0.05, abs=50)
    assert again.fetch_ns == pytest.approx(cpu.fetch_ns, rel=0.2, abs=2 * cpu.hit_ns)
