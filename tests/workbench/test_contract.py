"""Decide once, execute twice: several readers at once, live and replayed. (One reader: see replay/test_live.py.)"""

from __future__ import annotations

import random
import statistics
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from storage.backend import Link
from storage.events import Recorder
from storage.factory import open_store
from storage.image import open_image
from storage.image.build import build
from tests.workbench.replay._validated import undisturbed
from workbench import policy
from workbench.replay import Result, Settings, Workload, calibrate, replay
from workbench.trace import RecordingReader


def run_live(
    image: Path,
    cache: Path,
    settings: Settings,
    threads: int,
    seed: int,
    link: Link,
    files: Sequence[str],
) -> tuple[pa.Table, pa.Table]:
    """Threads that each read files in an order of their own; the events and the reads."""
    recorder = Recorder()
    chosen = policy.get(settings.eviction) if isinstance(settings.eviction, str) else settings.eviction
    with open_store(
        image,
        cache_dir=cache,
        plan=settings.plan,
        amplify_io=settings.amplify_io,
        capacity=settings.capacity,
        policy=chosen.functions,
        arena_of=chosen.arena,
        link=link,
        recorder=recorder,
    ) as rafs:
        reader = RecordingReader(rafs, "program")
        workers = [threading.Thread(target=_read, args=(reader, files, seed + number)) for number in range(threads)]
        reader.start()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return recorder.table(), reader.table({"nydus.image": rafs.image.bootstrap_digest})


def _read(reader: RecordingReader, files: Sequence[str], seed: int) -> None:
    for path in random.Random(seed).choices(files, k=60):
        reader.read(path)


@pytest.fixture(scope="module")
def noise_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 60 files of noise, 12 MB, so that the link is what takes time."""
    root, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(5)
    for number in range(60):
        (root / f"{number:02}").write_bytes(rng.bytes(int(rng.integers(20_000, 400_000))))
    out = tmp_path_factory.mktemp("noise-image")
    build(root, out, chunk_size=64 << 10)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("eviction", "share"), [("none", 1.0), ("lru", 0.6)])
def test_concurrent(noise_dir: Path, tmp_path: Path, eviction: str, share: float) -> None:
    """Four readers behind a link: requests, bytes, hits and the time agree within 5 %, medians of five runs."""
    image = open_image(noise_dir)
    files = [path.decode() for path in image.paths()[0][1:]]
    # Slow enough for what else the machine does not to matter.
    link = Link(rtt_ns=30_000_000, bandwidth=8_000_000)
    capacity = None if eviction == "none" else int(image.chunks.uncompressed_size.sum() * share)
    settings = Settings(amplify_io=128 << 10, eviction=eviction, capacity=capacity, link=link)
    for attempt in range(3):  # a machine that did something else meanwhile gets another chance
        rows = []
        for number in range(5):
            place = tmp_path / f"{attempt}-{number}"
            with undisturbed():
                events, reads = run_live(noise_dir, place, settings, 4, 10, link, files)
            fitted = Settings(**{**vars(settings), "cpu": calibrate(events)})
            result = replay(Workload.from_reads(reads, image), image, fitted)
            rows.append(_ratios(events, reads, result))
        medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        if all(0.95 <= ratio <= 1.05 for ratio in medians.values()):
            return
    pytest.fail(pd.DataFrame(rows).to_string())


def _ratios(events: pa.Table, reads: pa.Table, result: Result) -> dict[str, float]:
    """Predicted over measured."""
    frame = events.to_pandas()
    frame = frame[frame["cause"] != "meta"]
    requests = frame[(frame["kind"] == "request") & (frame["read_id"] >= 0)]
    served = frame[frame["kind"].isin(["hit", "wait"])]["user_bytes"].sum()
    table = reads.to_pandas()
    ended = (table["t_ns"] + table["dur_ns"]).max() - (table["t_ns"] - table["think_ns"]).min()
    totals = result.totals
    return {
        "requests": totals["requests"] / len(requests),
        "bytes": totals["bytes_received"] / requests["length"].sum(),
        "served": (totals["bytes_hit"] + totals["bytes_waited"]) / served,
        "time": totals["time_to_last_read_ns"] / ended,
    }
