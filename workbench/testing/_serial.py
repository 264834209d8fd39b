"""An image, reads of it, and a live store that is asked for one after the other: what suites compare replays with."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.events import Recorder, audit
from storage.image import open_image
from storage.image.build import build
from storage.image.verbs import build_on
from workbench.replay import Settings, Workload
from workbench.replay._live import begin_prefetch, open_live

__all__ = ["OnImage", "in_order", "random_reads", "run_serially", "small_image"]

_THINK_NS = 60 * 10**9  # whatever goes on in the background is over by then


def small_image(folder: Path) -> Path:
    """Build an image of two blobs with a prefetch table: a dozen files in three directories, in chunks of 4 KiB."""
    rng, layers = np.random.default_rng(11), [folder / name for name in ("lower", "upper")]
    for number, layer in enumerate(layers):
        for name in ("bin", "lib", f"lib/{number}"):
            (layer / "tree" / name).mkdir(parents=True)
            for file, size in enumerate((90, 5_000, 50_000)):
                (layer / "tree" / name / f"{number}-{file}").write_bytes(rng.bytes(size))
    lower, image = layers[0] / "image", folder / "image"
    build(layers[0] / "tree", lower, chunk_size=4096)
    build_on(layers[1] / "tree", lower, image, prefetch=("/lib",), chunk_size=4096)
    for blob in (lower / "blobs").iterdir():
        blob.rename(image / "blobs" / blob.name)
    return image


class OnImage:
    """Test classes that need an image have one."""

    @pytest.fixture(scope="class")
    @classmethod
    def image_dir(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A small image."""
        return small_image(tmp_path_factory.mktemp("conformance"))


def random_reads(image_dir: Path, count: int, seed: int, longest: int = 300_000, think_ns: int = 0) -> pa.Table:
    """Reads of an image's files up to a length, as a trace of one thread, in the schema `workbench.trace.READS`."""
    image, rng = open_image(image_dir), np.random.default_rng(seed)
    names, rows = image.paths()
    files = [
        (name.decode(), int(image.inodes.size[row]))
        for name, row in zip(names, rows, strict=True)
        if stat.S_ISREG(int(image.inodes.mode[row])) and image.inodes.size[row] > 0
    ]
    picks = [files[i] for i in rng.integers(0, len(files), count)]
    offset = [int(rng.integers(0, size)) for _, size in picks]
    length = [int(rng.integers(1, min(size - at, longest) + 1)) for (_, size), at in zip(picks, offset, strict=True)]
    columns = {
        "read_id": np.arange(count),
        "t_ns": np.arange(count),
        "think_ns": np.full(count, think_ns),
        "thread": np.zeros(count, np.int32),
        "program": ["p"] * count,
        "path": [name for name, _ in picks],
        "offset": offset,
        "length": length,
    }
    return pa.table(columns)


def unhurried(image_dir: Path, count: int, seed: int, longest: int = 20_000) -> tuple[pa.Table, Workload]:
    """Reads with so much time between them that nothing is under way when the next begins; the same as a workload."""
    reads = random_reads(image_dir, count, seed, longest, _THINK_NS)
    return reads, Workload.from_reads(reads, open_image(image_dir))


def run_serially(
    image_dir: Path, reads: pa.Table, settings: Settings, cache: Path, workload: Workload | None = None
) -> pa.Table:
    """Events of a live store whose reads begin when all is quiet; each has its bytes, and the ledgers balance."""
    workload = workload or Workload.from_reads(reads, open_image(image_dir))
    with Recorder() as recorder, open_live(image_dir, workload, settings, cache, None, recorder) as store:
        begin_prefetch(store, settings, workload)
        store.drain()
        for row in reads.to_pylist():
            assert len(store.read(row["path"], row["offset"], row["length"])) == row["length"]
            store.drain()
        events = recorder.table()
    audit(events)
    return events


def in_order(events: pa.Table) -> list[tuple[int, int, int, bool]]:
    """Blob, offset and length of each request, and whether a user asked, in order; none for metadata."""
    frame = events.to_pandas()
    fetched = set(frame.loc[(frame["kind"] == "fetch") & (frame["cause"] != "meta"), "fetch_id"])
    asked = frame[(frame["kind"] == "request") & frame["fetch_id"].isin(fetched)].sort_values("t_ns", kind="stable")
    return list(zip(asked["blob"], asked["offset"], asked["length"], asked["read_id"] >= 0, strict=True))
