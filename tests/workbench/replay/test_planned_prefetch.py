"""Prefetch as `plan_prefetch` decides it: the live store and replay make the same requests."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.events import Recorder, audit
from storage.factory import open_store
from storage.image import Image
from storage.image.build import build
from storage.plan import plan_layout, plan_options, plan_prefetch
from workbench.replay import Settings, Workload, replay


def requests_of(events: pa.Table) -> list[tuple[int, int]]:
    """Offset and length of what was asked for ahead of anybody."""
    asked = events.filter(pc.and_(pc.equal(events["kind"], "fetch"), pc.equal(events["cause"], "prefetch")))
    ahead = pc.is_in(events["fetch_id"], asked["fetch_id"])
    requests = events.filter(pc.and_(pc.equal(events["kind"], "request"), ahead))
    return list(zip(requests["offset"].to_pylist(), requests["length"].to_pylist(), strict=True))


def late_read(image: Image, path: str) -> Workload:
    """One read of a byte, a minute after the start, when all is fetched."""
    columns = {"read_id": [0], "t_ns": [60 * 10**9], "think_ns": [60 * 10**9], "thread": pa.array([0], pa.int32())}
    where = {"program": ["p"], "path": [path], "offset": [0], "length": [1]}
    return Workload.from_reads(pa.table(columns | where), image)


@pytest.mark.parametrize("version", [5, 6])
@pytest.mark.parametrize("plan", ["exact", "reference"])
def test_same_requests(plan: str, version: int, tree: Path, tmp_path: Path) -> None:
    """A prefetch table and then everything, on an empty cache: the same ranges in the same order."""
    build(tree, tmp_path / "image", version=version, chunk_size=64 << 10, prefetch=["/lib"], prefetch_policy="fs")
    recorder, batch = Recorder(), 128 << 10
    with open_store(
        tmp_path / "image", cache_dir=tmp_path / "cache", plan=plan, prefetch_batch=batch, recorder=recorder
    ) as rafs:
        rafs.prefetch_files(prefetch_all=True)
        rafs.drain()
        image = rafs.image
    options = plan_options(plan, 1 << 20, image.version, batch)
    planned = plan_prefetch(image, plan_layout(image.chunks), options, everything=True)
    assert len(planned) >= 3
    settings = Settings(plan=plan, prefetch=planned)
    result = replay(late_read(image, "/copy.txt"), image, settings, record=True)
    live = requests_of(recorder.table())
    assert len(live) >= 2
    assert requests_of(result.events()) == live
    audit(result.events())
