"""The same prefetch or amplification policy in the live store and in replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.backend import LINKS
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.image import open_image
from tests.workbench.replay.test_live import reads_of
from workbench.policy import amplify, prefetch
from workbench.replay import Settings, Workload, decisions, replay, run_live
from workbench.replay._settings import amplify_of, bind_prefetch

REACTIVE = {name: prefetch.get(name) for name in ("obl", "sequential", "directory", "markov", "pg", "mithril")}
REACTIVE["span"] = prefetch.span(background=False)


def run(image_dir: Path, reads: pa.Table, workload: Workload, settings: Settings, cache: Path) -> pa.Table:
    """Events of the live store, in which nothing is under way when a read begins."""
    ahead = bind_prefetch(settings, workload).fresh()
    with (
        Recorder() as recorder,
        open_store(
            image_dir,
            cache_dir=cache,
            plan=settings.plan,
            amplify_io=amplify_of(settings, workload),
            recorder=recorder,
        ) as store,
    ):
        if ahead is not None:
            store.answer(ahead)
        for row in reads.to_pylist():
            assert len(store.read(row["path"], row["offset"], row["length"])) == row["length"]
            store.drain()
        events = recorder.table()
    audit(events)
    return events


@pytest.mark.parametrize("name", ["none", "fixed=64KiB", "adaptive=512KiB", "profile"])
def test_amplified_the_same(image_dir: Path, tmp_path: Path, name: str) -> None:
    """Each read makes the same requests, for the same reasons, in the same order."""
    reads = reads_of(image_dir, 100, seed=4)
    workload = Workload.from_reads(reads, open_image(image_dir))
    settings = Settings(amplify_io=name)
    live = run(image_dir, reads, workload, settings, tmp_path)
    assert decisions(replay(workload, None, settings, record=True).events()) == decisions(live)


@pytest.mark.parametrize("name", list(REACTIVE))
def test_suggested_the_same(image_dir: Path, tmp_path: Path, name: str) -> None:
    """Reads of a chunk each, a minute apart, have the same ranges fetched for them and ahead of them."""
    reads, image = reads_of(image_dir, 60, seed=7), open_image(image_dir)
    reads = reads.set_column(reads.column_names.index("length"), "length", pa.array(np.ones(60, np.int64)))
    workload = replace(Workload.from_reads(reads, image), think_ns=np.full(60, 60 * 10**9))
    settings = Settings(amplify_io=amplify.none(), prefetch=REACTIVE[name])
    live = run(image_dir, reads, workload, settings, tmp_path)
    replayed = replay(workload, None, settings, record=True).events()
    assert ranges(replayed) == ranges(live)
    if name in ("obl", "span", "directory"):
        assert len(ranges(live)["prefetch"]) > 0


@pytest.mark.parametrize("name", list(REACTIVE))
def test_of_many_readers(image_dir: Path, name: str) -> None:
    """Of four readers at once the books balance, and no chunk is fetched twice, whoever asked for it."""
    reads = reads_of(image_dir, 80, seed=8)
    threads = pa.array(np.arange(80, dtype=np.int32) % 4)
    reads = reads.set_column(reads.column_names.index("thread"), "thread", threads)
    live = run_live(image_dir, reads, Settings(prefetch=REACTIVE[name], prefetch_workers=2, link=LINKS["lan"]))
    assert audit(live.events).asked == pc.sum(reads["length"]).as_py()
    fetched = live.events.to_pandas().query("kind == 'fetch' and chunk >= 0 and cause != 'meta'")
    assert len(fetched) > 0
    assert not fetched["chunk"].duplicated().any()


def ranges(events: pa.Table) -> dict[str, list[tuple[int, ...]]]:
    """Ranges of blobs that were asked for, by whose sake; what metadata took is left out."""
    fetched = events.filter(pc.and_(pc.equal(events["kind"], "fetch"), pc.not_equal(events["cause"], "meta")))
    requests = events.filter(
        pc.and_(pc.equal(events["kind"], "request"), pc.is_in(events["fetch_id"], fetched["fetch_id"]))
    )
    rows = list(zip(*(requests[name].to_pylist() for name in ("read_id", "blob", "offset", "length")), strict=True))
    return {
        "user": sorted(row[1:] for row in rows if row[0] >= 0),
        "prefetch": sorted(row[1:] for row in rows if row[0] < 0),
    }
