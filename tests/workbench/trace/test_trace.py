"""Recording, keeping and shipping workloads."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.backend import Link
from storage.errors import ConfigError, TraceError
from storage.events import audit
from storage.image import open_image
from storage.image.build import build, directory_tree
from workbench.replay import Settings, Workload, replay
from workbench.trace import READS, check_image, dataset, library_folder, read_layout, read_reads, record, write_layout

NEEDED = {"json", "asyncio", "ssl", "sqlite3", "email", "unittest", "xml"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of this interpreter's standard library, tests and site-packages left out."""
    out = tmp_path_factory.mktemp("library")
    build(directory_tree(library_folder(), ("site-packages", "dist-packages", "test", "idlelib")), out)
    return out


@pytest.mark.slow
def test_three_programs(library: Path, tmp_path: Path) -> None:
    """The shipped programs run on an image, on one cache: their modules come out of it, and the books balance."""
    run = record(library, cache_dir=tmp_path / "cache", link=Link(rtt_ns=1_000_000))
    assert run.output.count("\n") == 3
    modules = {name for names in run.modules.values() for name in names}
    assert len(modules) >= 60
    assert modules >= NEEDED
    assert any(".cpython" in path or path.endswith(".so") for path in run.reads["path"].unique().to_pylist())
    ledgers = audit(run.events)
    assert ledgers.asked == sum(run.reads["length"].to_pylist())
    assert run.reads["read_id"].to_pylist() == run.events.filter(_is(run.events, "read"))["read_id"].to_pylist()
    fetched = run.events.filter(_is(run.events, "fetch"))["chunk"].to_pylist()
    chunks = [chunk for chunk in fetched if chunk >= 0]
    assert len(chunks) == len(set(chunks)), "one cache, so no chunk is fetched twice"


def _is(events: pa.Table, kind: str) -> pa.Array:
    return pa.array([found == kind for found in events["kind"].to_pylist()])


@pytest.mark.slow
def test_bounded_over_programs(library: Path, tmp_path: Path) -> None:
    """A bounded cache over three processes is predicted to the chunk: each starts its policy afresh."""
    image = open_image(library)
    link = Link(rtt_ns=1_000_000)
    first = record(library, cache_dir=tmp_path / "one", link=link)
    workload = Workload.from_reads(first.reads, image)
    capacity = workload.touched_bytes // 2
    settings = Settings(amplify_io=256 << 10, eviction="lru", capacity=capacity, link=link)
    again = record(
        library, cache_dir=tmp_path / "two", amplify_io=256 << 10, eviction="lru", capacity=capacity, link=link
    )
    totals, ledgers = replay(workload, image, settings).totals, audit(again.events)
    assert totals["bytes_received"] == ledgers.received - ledgers.by_cause["meta"]
    assert totals["evictions"] == sum(_is(again.events, "evict").to_pylist())
    assert (totals["bytes_hit"], totals["bytes_fetched"]) == (ledgers.hit, ledgers.fetched)


def test_program_that_fails(library: Path, tmp_path: Path) -> None:
    """A program's failure is told in one line, with its file."""
    program = tmp_path / "broken.py"
    program.write_text("import json\nraise ValueError('no such thing')\n")
    with pytest.raises(TraceError, match=r"ValueError: no such thing.*broken\.py"):
        record(library, cache_dir=tmp_path / "cache", programs={"broken": program})


@pytest.mark.parametrize("prefetch", ["obl", "directory", "whole blob"])
def test_policies_by_name(library: Path, tmp_path: Path, prefetch: str) -> None:
    """A recording's store prefetches and widens as any policy says, each of its programs from its start."""
    program = tmp_path / "short.py"
    program.write_text("import json\njson.dumps([1])\nimport time\ntime.sleep(0.2)\n")
    programs = {"one": program, "two": program}
    run = record(library, cache_dir=tmp_path, programs=programs, amplify_io="none", prefetch=prefetch)
    by_cause = audit(run.events).by_cause
    assert by_cause["prefetch"] > 0
    assert by_cause.get("amplify", 0) == 0
    wide = record(library, cache_dir=tmp_path / "wide", programs={"one": program}, amplify_io="adaptive=8MiB")
    assert audit(wide.events).by_cause["amplify"] > 0


def test_no_such_policy(library: Path, tmp_path: Path) -> None:
    """A name that is none is refused before anything runs, and one that knows the future when it would be needed."""
    cache, programs = tmp_path / "cache", {"none": tmp_path / "none.py"}
    for amplify_io, prefetch in (("magic", "none"), ("profile", "none"), ("none", "magic")):
        with pytest.raises(ConfigError):
            record(library, cache_dir=cache, programs=programs, amplify_io=amplify_io, prefetch=prefetch)
    assert not cache.exists()
    (tmp_path / "none.py").touch()
    with pytest.raises(TraceError, match="goes by a workload needs one"):
        record(library, cache_dir=cache, programs=programs, prefetch="clairvoyant")


def test_dataset() -> None:
    """The shipped run balances, belongs to its layout, and replays to what was measured, within 2 %."""
    data = dataset("first-light")
    check_image(data.reads, data.image.bootstrap_digest)
    assert data.reads.schema.equals(READS)
    assert audit(data.events).asked == sum(data.reads["length"].to_pylist())
    folder = Path(__file__).parents[3] / "datasets" / "first-light"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1 << 20
    workload = Workload.from_reads(data.reads, data.image)
    totals = replay(workload, data.image, Settings(link=Link())).totals
    measured = sum(data.reads["dur_ns"].to_pylist()) + sum(data.reads["think_ns"].to_pylist())
    assert abs(totals["time_to_last_read_ns"] / measured - 1) < 0.02


def test_no_such_dataset() -> None:
    """A name that is none is answered with those that are."""
    with pytest.raises(TraceError, match="first-light"):
        dataset("second-light")


def test_layout_round_trip(image_dir: Path, tmp_path: Path) -> None:
    """A layout keeps what replay and pictures need: paths, sizes, segments, chunks."""
    image = open_image(image_dir)
    write_layout(tmp_path, image)
    again = read_layout(tmp_path)
    paths, rows = image.paths()
    assert again.paths()[0] == paths
    for path, row in zip(paths, rows.tolist(), strict=True):
        assert again.lookup(path) == row
        assert again.stat(row).st_size == image.stat(row).st_size
    big = image.lookup("/big.txt")
    assert again.segments(big, 100, 200_000) == image.segments(big, 100, 200_000)
    assert again.infos == image.infos
    with pytest.raises(TraceError, match="layout"):
        read_layout(tmp_path / "missing")


def test_other_image(tmp_path: Path) -> None:
    """A trace that names another image is refused; one that names none is taken."""
    empty = READS.empty_table()
    check_image(empty, "cafe")
    with pytest.raises(TraceError, match="recorded on image beef"):
        check_image(empty.replace_schema_metadata({"nydus.image": "beef"}), "cafe")


def test_not_reads(tmp_path: Path) -> None:
    """A Parquet file of something else is refused by its path and the column that it lacks."""
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(TraceError, match=r"'read_id'.*other\.parquet"):
        read_reads(path)
