"""Live runs and replays side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.backend import LINKS, Link, LocalFs
from storage.errors import BackendError, TraceError
from storage.events import audit
from storage.image import open_image
from tests.workbench.replay._validated import (
    WITHIN_FAR,
    cell,
    far_registry,
    holds,
    image_of,
    settings_of,
    undisturbed,
    workload_of,
)
from workbench import view
from workbench.replay import Settings, Workload, calibrate, decisions, fit, fleet, replay, run_live
from workbench.replay._jitter import jittered
from workbench.testing import random_reads


def test_fit(image_dir: Path) -> None:
    """The link that a live run was shaped by is found again from its events, and explains its requests."""
    link = Link(rtt_ns=20_000_000, bandwidth=200_000)  # slow enough for the machine's own delays not to matter
    found = fit(run_live(image_dir, random_reads(image_dir, 20, seed=2), Settings(link=link)).events)
    assert found.link.rtt_ns == pytest.approx(link.rtt_ns, rel=0.1)
    assert found.link.bandwidth == pytest.approx(link.bandwidth, rel=0.2)
    assert found.total == pytest.approx(1, rel=0.1)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty files."""
    return image_of(tmp_path_factory.mktemp("validated"))


@pytest.fixture
def calm() -> Iterator[None]:
    """While other tests run on all cores."""
    with undisturbed():
        yield


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize(
    ("kind", "config", "how"),
    [
        ("threads", "amplified", "alone"),
        ("zipf", "lru", "fleet"),
        ("zipf", "amplified", "together"),
        ("random", "lru", "open"),
        ("threads", "sequential", "alone"),
        pytest.param("threads", "lru", "alone", marks=pytest.mark.slow),
    ],
)
def test_live_is_as_replayed(image: Path, kind: str, config: str, how: str) -> None:
    """Decisions of one reader on a cache are the same to the last row; totals, time and what it went on within 5 %.

    Of three, so that a machine that did something else meanwhile gets another chance.
    """
    for runs in (1, 5, 5):
        found = cell(image, kind, config, runs=runs, how=how)
        if holds(kind, config, found, how=how):
            break
    assert holds(kind, config, found, how=how), f"{found.worst} is off; identical: {found.identical}\n{found}"


@pytest.mark.usefixtures("calm")
def test_what_a_millisecond_decides(image: Path) -> None:
    """Where a prefetch's turn comes in a short gap or does not, live is as one of the replays of a late machine."""
    found = cell(image, "threads", "prefetch", runs=1)
    if not found.is_in_range():
        found = cell(image, "threads", "prefetch", runs=5)
    assert found.is_in_range(), str(found)
    workload, settings = workload_of("threads", image), settings_of("prefetch", 0)
    prompt, late = (
        {one.totals["requests"] for one in jittered(workload, settings, most, False, 9)} for most in (0, 5_000_000)
    )
    assert prompt == {replay(workload, None, settings).totals["requests"]}
    assert len(late) > 1


def test_of_another_image(image: Path, image_dir: Path) -> None:
    """A workload is not run on an image that it was not laid over."""
    with pytest.raises(TraceError):
        run_live(image_dir, workload_of("zipf", image), Settings())


def test_a_fleet_live(image_dir: Path) -> None:
    """Each client has a cache of its own, starts when it is to, and its events balance."""
    reads = random_reads(image_dir, 20, seed=6)
    alone = Workload.from_reads(reads, open_image(image_dir))
    live = run_live(image_dir, fleet([alone, alone], [0, 300_000_000]), Settings(link=LINKS["lan"]))
    first, second = (audit(events) for events in live.clients)
    assert first.received == second.received > 0
    assert first.asked == second.asked == alone.length.sum()
    assert audit(live.events).received == 2 * first.received
    begun = live.reads["t_ns"].to_numpy()
    assert begun[20] - begun[0] >= 290_000_000


def test_a_client_that_fails(image_dir: Path, tmp_path: Path) -> None:
    """What a read of one client raises is raised, once the others are through."""
    reads = random_reads(image_dir, 3, seed=6)
    alone = Workload.from_reads(reads, open_image(image_dir))
    (tmp_path / "blobs").mkdir()
    with pytest.raises(BackendError):
        run_live(image_dir, fleet([alone, alone]), Settings(), LocalFs(tmp_path / "blobs"))


@pytest.mark.usefixtures("calm")
def test_from_a_real_registry(image: Path, tmp_path: Path) -> None:
    """Across two network namespaces with delay and rate, on a link fitted to another run, time is within 10 %."""
    with far_registry(image, tmp_path / "registry") as registry:
        found = cell(image, "zipf", "lru", runs=1, backend=registry)
        if not holds("zipf", "lru", found, far=True):
            found = cell(image, "zipf", "lru", runs=3, backend=registry)
    assert found.identical
    assert abs(found.table.loc["time_to_last_read_ns", "off"]) <= WITHIN_FAR, str(found)


def test_at_once(image_dir: Path) -> None:
    """Who reads without a thought waits for what each worker has begun to prefetch, live as replayed."""
    reads = random_reads(image_dir, 1, seed=2)
    settings = Settings(prefetch="whole blob", link=Link(rtt_ns=50_000_000))
    found = replay(Workload.from_reads(reads, open_image(image_dir)), None, settings).totals
    events = run_live(image_dir, reads, settings).events.to_pandas()
    live = {kind: int(events.loc[events["kind"] == kind, "user_bytes"].sum()) for kind in ("hit", "wait", "fetch")}
    assert live == {"hit": found["bytes_hit"], "wait": found["bytes_waited"], "fetch": found["bytes_fetched"]}


@pytest.mark.usefixtures("calm")
def test_refused(image_dir: Path) -> None:
    """Of a link that refuses, the same requests fail, live as replayed, and the seconds went on the same."""
    reads = random_reads(image_dir, 40, seed=3)
    link = Link(rtt_ns=30_000_000, bandwidth=2_000_000, errors_ppm=300_000, retries=0, jitter_ns=20_000_000)
    settings = Settings(amplify_io=0, link=link)
    live = run_live(image_dir, reads, settings)
    workload = Workload.from_reads(reads, open_image(image_dir))
    result = replay(workload, None, replace(settings, cpu=calibrate(live.events)), record=True)
    assert 3 < result.totals["failures"] < 30
    assert _without_failures(live.events) == decisions(result.events())
    summary = view.summarize(live.events, live.reads)
    within = 0.05 * result.time_to_last_read_ns
    for part, spent in result.split.items():
        assert summary.split[part] == pytest.approx(spent, abs=within), part
    assert view.summarize(result.events(), reads).split == result.split


def _without_failures(events: pa.Table) -> list[dict[str, Any]]:
    """Which a replay has no rows for."""
    return [row for row in decisions(events) if row["kind"] != "failure"]


def test_programs(image_dir: Path) -> None:
    """Of several programs each finds the cache as the one before left it, and reads are known by their ids."""
    reads = random_reads(image_dir, 20, seed=4)
    halves = pa.array(["first"] * 10 + ["second"] * 10)
    ids = pa.array(range(1_000, 1_020))
    reads = reads.set_column(reads.column_names.index("program"), "program", halves)
    reads = reads.set_column(reads.column_names.index("read_id"), "read_id", ids)
    live = run_live(image_dir, reads, Settings(amplify_io=0))
    assert live.reads["read_id"].to_pylist() == ids.to_pylist()
    assert live.reads["program"].to_pylist() == halves.to_pylist()
    result = replay(Workload.from_reads(reads, open_image(image_dir)), None, Settings(amplify_io=0), record=True)
    assert decisions(live.events) == decisions(result.events())
