"""The real nydusd, timed: which ranges it asked for, and how long it took, predicted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.backend import Link
from storage.image import Image, load_blob_meta_file, open_bootstrap
from workbench.replay import Cpu, Result, Settings, Workload, replay
from workbench.trace import READS

MIB = 1 << 20


@pytest.fixture(scope="module")
def timed() -> tuple[list[list[Any]], list[dict[str, Any]], Path]:
    """Reads, cases and the folder that NYDUS_TIMED names."""
    beside = Path(__file__).parents[2].parent / "shared" / "refs" / "timed"
    folder = Path(os.environ.get("NYDUS_TIMED", beside))
    if not (folder / "nydusd-timed.json").is_file():
        pytest.skip(f"no timed runs of nydusd in {folder}: set NYDUS_TIMED")
    found = json.loads((folder / "nydusd-timed.json").read_text())
    return found["reads"], found["cases"], folder


def open_case(folder: Path, case: dict[str, Any]) -> Image:
    """The case's image: bootstrap and blob.meta, no data."""
    place = folder / case["image"]
    bootstrap = open_bootstrap(place / "bootstrap")
    metas = [(place / f"{info.blob_id}.blob.meta").read_bytes() for info in bootstrap.infos]
    return bootstrap.with_blob_meta(list(map(load_blob_meta_file, metas, bootstrap.infos)))


def workload_of(reads: list[list[Any]], case: dict[str, Any], image: Image) -> Workload:
    """The reads with the think times that this case's median run had."""
    rows, end = [], 0
    runs = case["median_run"]["reads_start_dur_returned"]
    for number, ((path, offset, _), (start, spent, returned)) in enumerate(zip(reads, runs, strict=True)):
        rows.append((number, start, spent, start - end, 0, "reader", path, offset, returned))
        end = start + spent
    return Workload.from_reads(pa.table(list(zip(*rows, strict=True)), names=READS.names), image)


def predict(workload: Workload, image: Image, case: dict[str, Any], cpu: Cpu) -> Result:
    """The case replayed under plan `reference`."""
    link = Link(rtt_ns=round(case["rtt_s"] * 1e9), bandwidth=round(case["bandwidth_bytes_per_s"]))
    settings = Settings(plan="reference", amplify_io=case["amplify_io"], link=link, cpu=cpu)
    return replay(workload, image, settings, record=True)


def fit(workload: Workload, image: Image, case: dict[str, Any]) -> Cpu:
    """What a hit, a fetch and a decoded byte cost: by least squares, of what the link does not explain."""
    result = predict(workload, image, case, Cpu(0, 0, 0, 0))
    events = result.events().to_pandas()
    decoded = events[events["kind"] == "decode"].groupby("read_id")["length"].sum()
    sizes = decoded.reindex(result.reads["read_id"].to_numpy(), fill_value=0).to_numpy()
    network = pc.add(result.reads["rtt_ns"], result.reads["bandwidth_ns"]).to_numpy()
    spent = np.array([row[1] for row in case["median_run"]["reads_start_dur_returned"]])
    fetched = network > 0
    hit = float(np.median(spent[~fetched]))
    unknown = np.stack([np.ones(fetched.sum()), sizes[fetched] / MIB], axis=1)
    fetch, per_mib = np.linalg.lstsq(unknown, (spent - network)[fetched] - hit, rcond=None)[0]
    return Cpu(hit_ns=round(hit), hit_ns_per_mib=0, fetch_ns=round(fetch), decode_ns_per_mib=round(per_mib))


def test_every_request(timed: tuple[list[list[Any]], list[dict[str, Any]], Path]) -> None:
    """Replay asks for the ranges that nydusd asked for, in its order, in every case."""
    reads, cases, folder = timed
    for case in cases:
        image = open_case(folder, case)
        result = predict(workload_of(reads, case, image), image, case, Cpu())
        asked = list(zip(*(result.requests[name].to_pylist() for name in ("offset", "length")), strict=True))
        recorded = [tuple(row[3:5]) for row in case["median_run"]["requests_start_end_blob_offset_length"]]
        assert asked == recorded


def test_total_time(timed: tuple[list[list[Any]], list[dict[str, Any]], Path]) -> None:
    """With the processor's costs fitted on any one case, every case's total is predicted within 5 %."""
    reads, cases, folder = timed
    images = [open_case(folder, case) for case in cases]
    workloads = [workload_of(reads, case, image) for case, image in zip(cases, images, strict=True)]
    titles = (f"{case['amplify_io'] >> 10:>5} KiB {case['rtt_s'] * 1e3:>3.0f} ms" for case in cases)
    print(f"\n{'fitted on':>10} " + " ".join(titles))
    for number, fitted in enumerate(cases):
        cpu = fit(workloads[number], images[number], fitted)
        ratios = [
            predict(workload, image, case, cpu).time_to_last_read_ns / case["median_run"]["total_ns"]
            for workload, image, case in zip(workloads, images, cases, strict=True)
        ]
        print(f"{number:>10} " + " ".join(f"{ratio:>16.3f}" for ratio in ratios))
        assert all(0.95 <= ratio <= 1.05 for ratio in ratios)
