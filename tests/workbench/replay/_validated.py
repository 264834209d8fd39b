"""Five workloads and four configurations under which live runs and replays are compared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.backend import BlobBackend, Link
from storage.backend.http import HttpOptions
from storage.backend.registry import Registry, RegistryOptions
from storage.image import open_image
from storage.image.build import build
from tests.servers.registry import docker_registry, put_blob
from tests.servers.wire import Wire
from workbench.replay import Settings, Validation, Workload, fleet, together, validate

__all__ = [
    "ANSWERING",
    "CONFIGS",
    "SEVERAL",
    "WITHIN_FAR",
    "WORKLOADS",
    "cell",
    "far_registry",
    "holds",
    "image_of",
    "is_serial",
    "reads",
    "settings_of",
    "undisturbed",
    "workload_of",
]

LINK = Link(rtt_ns=30_000_000, bandwidth=8_000_000)
WORKLOADS = ("sequential", "random", "zipf", "threads", "same")
CONFIGS = ("plain", "amplified", "prefetch", "lru")
ANSWERING = ("sequential", "obl", "markov", "span", "mithril", "pg")
SERIAL = ("plain", "amplified", "lru")
SEVERAL = ("fleet", "together", "open")
FILES, CHUNK, READS = 40, 64 << 10, 80
WITHIN, WITHIN_FAR = 0.05, 0.10


def settings_of(config: str, touched: int) -> Settings:
    """A configuration, or a prefetch policy that answers reads, by name; a cache may hold a third of what is read."""
    plain = Settings(link=LINK, amplify_io=0)
    if config == "amplified":
        return replace(plain, amplify_io=512 << 10)
    if config in ANSWERING:
        return replace(plain, prefetch=config, prefetch_workers=2)
    if config == "prefetch":
        return replace(plain, prefetch="whole blob", prefetch_workers=2, prefetch_batch=1 << 20)
    if config == "lru":
        return replace(plain, amplify_io=128 << 10, eviction="lru", capacity=touched // 3)
    return plain


def image_of(folder: Path, seed: int = 5) -> Path:
    """An image of files of 20 to 400 KB that do not compress."""
    rng, root = np.random.default_rng(seed), folder / "root"
    root.mkdir()
    for number, size in enumerate(rng.integers(20_000, 400_000, FILES)):
        (root / f"{number:02}").write_bytes(rng.bytes(int(size)))
    build(root, folder / "image", chunk_size=CHUNK)
    return folder / "image"


def picks_of(kind: str, thread: int, seed: int = 1) -> npt.NDArray[np.int64]:
    """Files in the order in which one thread reads them."""
    rng = np.random.default_rng(seed if kind == "same" else seed + thread)
    if kind == "sequential":
        return np.arange(READS) % FILES
    if kind == "zipf":
        return rng.zipf(1.3, READS) % FILES
    return rng.integers(0, FILES, READS if kind == "random" else READS // 2)


def reads(kind: str, image: Path, seed: int = 1) -> pa.Table:
    """One reader in order, at random, or by Zipf; four at random, or four that read the same. All think 5 to 40 ms."""
    opened = open_image(image)
    sizes = np.array([opened.inodes.size[opened.lookup(f"/{number:02}")] for number in range(FILES)], np.int64)
    picks = [picks_of(kind, thread, seed) for thread in range(4 if kind in ("threads", "same") else 1)]
    files = np.concatenate(picks)
    return pa.table(
        {
            "read_id": np.arange(len(files)),
            "t_ns": np.arange(len(files)),
            "think_ns": np.random.default_rng(seed).integers(5_000_000, 40_000_000, len(files)),
            "thread": np.repeat(np.arange(len(picks), dtype=np.int32), [len(mine) for mine in picks]),
            "program": ["p"] * len(files),
            "path": [f"/{pick:02}" for pick in files],
            "offset": np.zeros(len(files), np.int64),
            "length": sizes[files],
        }
    )


def workload_of(kind: str, image: Path, how: str = "alone") -> Workload:
    """A workload as it is, or of three seeds: three machines that start apart, or three programs on one cache."""
    opened = open_image(image)
    if how in ("alone", "open"):
        return Workload.from_reads(_at_random_times(reads(kind, image)), opened)
    three = [Workload.from_reads(reads(kind, image, seed), opened) for seed in (1, 2, 3)]
    return together(three) if how == "together" else fleet(three, [0, 200_000_000, 500_000_000])


def _at_random_times(trace: pa.Table) -> pa.Table:
    """Reads of each thread at the times of a Poisson process, often before the last is done."""
    thread, t = trace["thread"].to_numpy(), np.zeros(len(trace), np.int64)
    for number in np.unique(thread):
        mine = thread == number
        t[mine] = np.cumsum(np.random.default_rng(number).exponential(90_000_000, mine.sum()))
    return trace.set_column(trace.column_names.index("t_ns"), "t_ns", pa.array(t))


def cell(
    image: Path, kind: str, config: str, runs: int, backend: BlobBackend | None = None, how: str = "alone"
) -> Validation:
    """One workload under one configuration; costs, and the link of a `backend`, are those of a run under another."""
    workload, loop = workload_of(kind, image, how), "open" if how == "open" else "closed"
    other = settings_of("plain" if config != "plain" else "amplified", workload.touched_bytes)
    ours = replace(settings_of(config, workload.touched_bytes), loop=loop)
    other = replace(other, loop=loop)
    return validate(image, workload, ours, backend=backend, fitted_on=other, runs=runs, progress=False)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ask for the real-time scheduler, so that what else the machine does is not measured; all here sleeps mostly."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def is_serial(kind: str, config: str, how: str = "alone") -> bool:
    """Whether nothing is left to chance: one reader on each cache, and no prefetch."""
    return kind in ("sequential", "random", "zipf") and config in SERIAL and how != "together"


def holds(kind: str, config: str, found: Validation, far: bool = False, how: str = "alone") -> bool:
    """Whether the replay is what it is said to be: the same where nothing is left to chance, else close."""
    if is_serial(kind, config, how) and not found.identical:
        return False
    if far:
        return abs(float(found.table.loc["time_to_last_read_ns", "off"])) <= WITHIN_FAR
    return found.agrees(WITHIN)


@contextlib.contextmanager
def far_registry(image: Path, folder: Path, rtt_ns: int = 20_000_000, bandwidth: int = 2_500_000) -> Iterator[Registry]:
    """A registry that holds the image's blobs, in a network namespace of its own; this thread is in another."""
    ids = [info.blob_id for info in open_image(image).infos]
    folder.mkdir()
    with docker_registry(folder) as server:
        for blob_id in ids:
            assert (
                put_blob(f"http://127.0.0.1:{server.port}", "app", next(image.rglob(blob_id)).read_bytes()) == blob_id
            )
    server = docker_registry(folder, {"http": {"addr": "0.0.0.0:5000"}}, port=5000)
    with Wire(rtt_ns, bandwidth) as wire:
        with wire.inside(wire.answering):
            server.start()
        try:
            with wire.inside(wire.asking):
                options = RegistryOptions(f"{wire.far}:5000", "app", scheme="http", http=HttpOptions(timeout=5))
                yield Registry(options)
        finally:
            server.kill()
