"""Under plan `reference` the store asks its backend for what nydusd asked, request by request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from storage.cache import FileCache
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.fs import Rafs
from storage.plan import ABSENT, plan_prefetch
from storage.plan._state import MIN_BATCH
from tests.interop.references import REFS

IMAGES = ("v5-lz4", "v6-none", "v6-lz4", "v6-zran", "v6-zstd", "v6-zstd-chunk64k", "v6-zstd-batch")
Range = tuple[int, int]

# What it asked for there, and then again.
TWICE = {("v6-zstd-chunk64k", 0, "backward", "/sizes/m+1", 0, 1 << 20): [(1093295, 36595)]}


def entries(refs: Path) -> list[dict[str, Any]]:
    """The recordings that are about reads of images that can be read."""
    recorded = refs / "nydusd-backend-ranges.json"
    if not recorded.is_file():
        pytest.skip(f"no recorded ranges in {refs}")
    found = json.loads(recorded.read_text())
    return [entry for entry in found if entry["image"] in IMAGES and entry["order"] != "prefetch"]


def asked(rafs: Rafs, recorder: Recorder, step: dict[str, Any]) -> list[Range]:
    """The ranges that one read asks of the backend."""
    before = recorder.table().num_rows
    assert len(rafs.read(step["path"], step["offset"], step["length"])) == step["returned"]
    events = recorder.table().slice(before)
    requests = events.filter(pc.equal(events["kind"], "request"))
    return list(zip(requests["offset"].to_pylist(), requests["length"].to_pylist(), strict=True))


def without_repeats(ranges: list[Range]) -> tuple[list[Range], list[Range]]:
    """Ranges less those that lie wholly within the one before, and those."""
    kept: list[Range] = []
    dropped: list[Range] = []
    for start, length in ranges:
        within = bool(kept) and kept[-1][0] <= start and start + length <= sum(kept[-1])
        (dropped if within else kept).append((start, length))
    return kept, dropped


@pytest.mark.parametrize("order", ["mixed", "backward"])
@pytest.mark.parametrize("image", IMAGES)
def test_same_ranges(image: str, order: str, refs: Path, tmp_path: Path) -> None:
    """After each recorded read, the same ranges in the same order, for every amplify_io.

    One recorded step has a range more. There nydusd asked for [1068938, 60952], and within the
    same read for [1093295, 36595], which is the end of what it had just fetched: its writes to
    the cache are done by another thread and had not landed when it looked. That race is not ours
    to repeat, and what was asked twice is known; no other step may ask twice.
    """
    chosen = [entry for entry in entries(refs) if (entry["image"], entry["order"]) == (image, order)]
    if not chosen:
        pytest.skip(f"no recording of {image}, {order}")
    for entry in chosen:
        recorder, amplify = Recorder(), entry["amplify_io"]
        cache = tmp_path / str(amplify)
        with open_store(refs / image, cache_dir=cache, plan="reference", amplify_io=amplify, recorder=recorder) as rafs:
            for step in entry["steps"]:
                recorded = [(offset, length) for _, offset, length in step["backend_ranges"]]
                once, again = without_repeats(recorded)
                key = (image, amplify, order, step["path"], step["offset"], step["length"])
                assert again == TWICE.get(key, [])
                assert asked(rafs, recorder, step) == once, key


@pytest.mark.parametrize("order", ["mixed", "backward"])
@pytest.mark.parametrize("image", IMAGES)
def test_exact_asks_no_more(image: str, order: str, refs: Path, tmp_path: Path) -> None:
    """Over a whole recording, plan `exact` makes no more requests than nydusd did, and for no more bytes.

    It is given the window that nydusd took: of v6 images at least 128 KiB.
    """
    chosen = [entry for entry in entries(refs) if (entry["image"], entry["order"]) == (image, order)]
    if not chosen:
        pytest.skip(f"no recording of {image}, {order}")
    for entry in chosen:
        recorder, amplify = Recorder(), entry["amplify_io"]
        window = amplify if image.startswith("v5") else max(amplify, 128 << 10)
        with open_store(refs / image, cache_dir=tmp_path / str(amplify), amplify_io=window, recorder=recorder) as rafs:
            ours = [span for step in entry["steps"] for span in asked(rafs, recorder, step)]
        its = [(offset, length) for step in entry["steps"] for _, offset, length in step["backend_ranges"]]
        assert len(ours) <= len(its)
        assert sum(length for _, length in ours) <= sum(length for _, length in its)


@pytest.mark.parametrize("image", IMAGES)
def test_exact_costs_no_more(image: str, refs: Path, tmp_path: Path) -> None:
    """The same reads under `exact`, with the reference's window: never more requests or bytes, nothing twice."""
    for number, entry in enumerate(e for e in entries(refs) if e["image"] == image):
        window, costs = max(entry["amplify_io"], MIN_BATCH), {}
        for plan in ("reference", "exact"):
            recorder, cache = Recorder(), tmp_path / f"{plan}-{number}"
            with open_store(refs / image, cache_dir=cache, plan=plan, amplify_io=window, recorder=recorder) as rafs:
                ranges = [each for step in entry["steps"] for each in asked(rafs, recorder, step)]
            costs[plan] = (len(ranges), sum(length for _, length in ranges))
        its, ours = costs["reference"], costs["exact"]
        case = f"{image:16} {entry['order']:8} {entry['amplify_io']:9,}"
        print(f"{case}  reference {its[0]:3} requests {its[1]:10,} bytes  exact {ours[0]:3} {ours[1]:10,}")
        assert ours[0] <= its[0], case
        assert ours[1] <= its[1], case
        assert not pc.any(pc.equal(recorder.table()["cause"], "refetch")).as_py(), case


# Where nydusd's cache metrics have more than ours: the three chunks that it fetched twice (see TWICE), which lay
# between others that were ready, so that what would have been one hit was two; `test_a_late_write` shows it.
MORE = {("v6-zstd-chunk64k", 0): {"partial_hits": 1, "entries_count": 3}}
LONGEST = 1 << 20  # what the kernel asks a FUSE daemon for at once


def as_the_kernel_asks(step: dict[str, Any]) -> list[dict[str, int]]:
    """The pieces of one read."""
    pieces = []
    for start in range(0, step["length"], LONGEST):
        length = min(LONGEST, step["length"] - start)
        returned = min(max(step["returned"] - start, 0), length)
        pieces.append({"offset": step["offset"] + start, "length": length, "returned": returned})
    return pieces


@pytest.mark.parametrize("order", ["mixed", "backward"])
@pytest.mark.parametrize("image", IMAGES)
def test_same_metrics(image: str, order: str, refs: Path, tmp_path: Path) -> None:
    """After a whole recording, what nydusd's cache metrics say, figure for figure, but for what is known to differ."""
    for entry in (entry for entry in entries(refs) if (entry["image"], entry["order"]) == (image, order)):
        amplify, theirs = entry["amplify_io"], entry["metrics_blobcache"]
        cache = tmp_path / str(amplify)
        with open_store(refs / image, cache_dir=cache, plan="reference", amplify_io=amplify) as rafs:
            for step in entry["steps"]:
                for piece in as_the_kernel_asks(step):
                    rafs.read(step["path"], piece["offset"], piece["length"])
            assert isinstance(rafs.cache, FileCache)
            ours = rafs.cache.metrics()
        more = MORE.get((image, amplify), {}) if order == "backward" else {}
        assert {key: ours[key] + more.get(key, 0) for key in theirs if key != "store_path"} == {
            key: value for key, value in theirs.items() if key != "store_path"
        }


def test_a_late_write(refs: Path, tmp_path: Path) -> None:
    """With the end of one fetch not yet written when the same read looks again, all that differs does so no more.

    nydusd writes in another thread (`delay_persist_chunk_data`), and what is fetched along is not marked as pending.
    So those chunks are fetched again (`dispatch_backend`) and counted again as entries, and what was a region of
    chunks in the cache before them and one behind them are two partial hits (`dispatch_cache_fast`).
    """
    ((image, amplify, order, *where), [(start, length)]), *_ = TWICE.items()
    for entry in entries(refs):
        if (entry["image"], entry["amplify_io"], entry["order"]) == (image, amplify, order):
            break
    recorder, settings = Recorder(), {"cache_dir": tmp_path, "plan": "reference", "amplify_io": amplify}
    with open_store(refs / image, recorder=recorder, **settings) as rafs:
        cache = rafs.cache
        assert isinstance(cache, FileCache)
        layout, fetch = cache.decider.layout, cache.fetcher.fetch
        late = [row for row in range(len(layout.start)) if start <= layout.start[row] < start + length]

        def fetch_and_write_late(read: Any, *rest: Any) -> None:
            fetch(read, *rest)
            if set(late) < set(read.chunks):
                for row in late:
                    cache.decider.state.status[row] = ABSENT

        cache.fetcher.fetch = fetch_and_write_late  # type: ignore[method-assign]
        for step in entry["steps"]:
            pieces = [step | piece for piece in as_the_kernel_asks(step)]
            recorded = [(offset, length) for _, offset, length in step["backend_ranges"]]
            assert [each for piece in pieces for each in asked(rafs, recorder, piece)] == recorded, (
                step["path"],
                where,
            )
        ours, theirs = cache.metrics(), entry["metrics_blobcache"]
    assert {key: ours[key] for key in theirs if key != "store_path"} == {
        key: value for key, value in theirs.items() if key != "store_path"
    }


def prefetched(refs: Path) -> list[Any]:
    """The recordings of prefetch at mount."""
    recorded = refs / "nydusd-backend-ranges.json"
    if not recorded.is_file():
        return []
    found = [entry for entry in json.loads(recorded.read_text()) if entry["order"] == "prefetch"]
    return [pytest.param(entry, id=f"{entry['image']}-{entry['fs_prefetch']['merging_size']}") for entry in found]


@pytest.mark.parametrize("entry", prefetched(REFS))
@pytest.mark.parametrize("plan", ["reference", "exact"])
def test_same_prefetch(plan: str, entry: dict[str, Any], refs: Path, tmp_path: Path) -> None:
    """What nydusd asks for at mount: its ranges, in its order, and as many requests planned; `exact` asks for no more.

    The range of blob.meta, which nydusd fetches in the same manner, is ours to fetch at opening.
    """
    recorder, asked_for = Recorder(), entry["fs_prefetch"]
    settings: dict[str, Any] = {"plan": plan, "prefetch_batch": asked_for["merging_size"], "recorder": recorder}
    with open_store(refs / entry["image"], cache_dir=tmp_path, amplify_io=entry["amplify_io"], **settings) as rafs:
        decider = rafs.cache.decider
        planned = plan_prefetch(rafs.image, decider.layout, decider.options, everything=True)
        rafs.prefetch_files(prefetch_all=True)
        rafs.drain()
        assert rafs.cache.is_ready(range(len(rafs.image.chunks)))
        metrics = rafs.cache.metrics()
    audit(recorder.table())
    requests = recorder.table().filter(pc.equal(recorder.table()["kind"], "request"))
    ours = list(zip(requests["offset"].to_pylist(), requests["length"].to_pylist(), strict=True))
    its = [(offset, length) for _, offset, length in entry["at_mount"]]
    if plan == "reference":
        assert ours == its
        assert len(planned) == entry["metrics_blobcache"]["prefetch_requests_count"]
        for key in ("entries_count", "prefetch_requests_count", "prefetch_workers", "total", "partial_hits"):
            assert metrics[key] == entry["metrics_blobcache"][key], key
    else:
        assert len(ours) <= len(its)
        assert sum(length for _, length in ours) <= sum(length for _, length in its)
