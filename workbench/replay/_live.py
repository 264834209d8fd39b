"""A workload run for real."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.backend import BlobBackend, ShapedBackend
from storage.cache import FileCache
from storage.errors import BackendError
from storage.events import Recorder
from storage.factory import default_backend, open_store
from storage.fs import Rafs
from storage.image import Image, locate, open_image
from storage.plan import Batches, plan_layout
from workbench.replay._drive import Times, drive, due_of, new_times, sleep_until
from workbench.replay._settings import Settings, amplify_of, bind_prefetch
from workbench.replay._workload import Workload
from workbench.trace import READS

__all__ = ["Live", "begin_prefetch", "laid_over", "open_live", "run_live"]

_IDS = 1 << 32


@dataclass(frozen=True)
class Live:
    """A workload that was run.

    Attributes
    ----------
    clients
        Events of each client.
    reads
        In the order of the workload. In an open loop a read counts from when it was due.
    time_to_last_read_ns
        From each program's start, summed over programs.
    late_ns : (reads,) int64
        By how much its thread began the read later than it was to, be it that it was woken late.
    """

    clients: tuple[pa.Table, ...]
    reads: pa.Table
    time_to_last_read_ns: int
    late_ns: npt.NDArray[np.int64]

    @cached_property
    def events(self) -> pa.Table:
        """Those of all clients, one after the other."""
        return _joined(self.clients)


class _Run(NamedTuple):
    """What the clients of a run share."""

    image: str | Path
    settings: Settings
    workload: Workload
    source: BlobBackend
    recorders: Sequence[Recorder]
    times: Times
    forgiven: tuple[type[Exception], ...]


def run_live(
    image: str | Path, trace: pa.Table | Workload, settings: Settings, backend: BlobBackend | None = None
) -> Live:
    """Run a workload for real on empty caches: programs one after the other, threads and clients at once.

    Parameters
    ----------
    image
        A folder with bootstrap and blobs.
    trace
        Reads, in the schema `workbench.trace.READS`; or a workload over that image: a `fleet`, each of whose clients
        has a cache of its own and shares the link, or what runs `together` on one cache.
    settings
        Of the store, and whether reads wait for each other; its link is put before the image's own blobs, and is new
        when the first program starts. A warm-up is not left out.
    backend
        Where blobs come from instead, behind no link but its own.

    Raises
    ------
    TraceError
        If the workload was laid over another image.
    StorageError
        What a read raises, unless it is the link of `settings` that refuses: that read is over, and the next begins.
    """
    workload = laid_over(trace, open_image(image))
    forgiven = (BackendError,) if backend is None and settings.link.errors_ppm > 0 else ()
    with contextlib.ExitStack() as kept:
        recorders = [kept.enter_context(Recorder()) for _ in workload.programs]
        source = kept.enter_context(_source(image, settings, backend))
        run = _Run(image, settings, workload, source, recorders, new_times(workload), forgiven)
        _serve_all(run)
        events = [_apart(recorder.table(), program) for program, recorder in enumerate(recorders)]
    clients = tuple(_joined(events[begin:end]) for begin, end in pairwise(workload.client_first.tolist()))
    times, due = run.times, due_of(workload, run.times, settings.loop == "open")
    reads = _reads(workload, times, due if settings.loop == "open" else times.begun)
    return Live(clients, reads, _spent(workload, times), times.begun - np.maximum(due, times.free))


def laid_over(trace: pa.Table | Workload, image: Image) -> Workload:
    """What a trace reads of an image; or a workload as it is, if it is of that image."""
    if isinstance(trace, Workload):
        trace.check(plan_layout(image.chunks))
        return trace
    return Workload.from_reads(trace, image)


@contextlib.contextmanager
def _source(image: str | Path, settings: Settings, backend: BlobBackend | None) -> Iterator[BlobBackend]:
    if backend is not None:
        yield backend
        return
    with contextlib.closing(default_backend(locate(image))) as own:
        yield ShapedBackend(own, settings.link)


def _serve_all(run: _Run) -> None:
    """Have all clients do their programs, from when each has its store open."""
    with contextlib.ExitStack() as kept:
        starts = run.workload.client_start.tolist()
        clients = [kept.enter_context(contextlib.closing(_serve(run, *client))) for client in enumerate(starts)]
        for client in clients:
            next(client)
        if isinstance(run.source, ShapedBackend):
            run.source.restart()
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(next, clients, repeat(None)))


def _serve(run: _Run, client: int, start: int) -> Generator[None]:
    """A client's programs one after the other over its cache folder; yields once the first could start."""
    first, end = run.workload.client_first[client : client + 2].tolist()
    with tempfile.TemporaryDirectory(prefix="validate-") as cache:
        for program in range(first, end):
            with open_live(run.image, run.workload, run.settings, cache, run.source, run.recorders[program]) as rafs:
                if program == first:
                    yield
                    sleep_until(time.monotonic_ns() + start)
                begin_prefetch(rafs, run.settings, run.workload)
                read = partial(_read, rafs, run.workload)
                drive(read, run.workload, program, run.times, run.settings.loop == "open", run.forgiven)


def open_live(
    image: str | Path,
    workload: Workload,
    settings: Settings,
    cache: str | Path,
    source: BlobBackend | None,
    recorder: Recorder,
) -> Rafs:
    """A store under these settings; its blobs come from `source`, or where they are by default."""
    policy = settings.policy
    return open_store(
        image,
        cache_dir=cache,
        backend=source,
        plan=settings.plan,
        amplify_io=amplify_of(settings, workload),
        capacity=None if policy.name == "none" else settings.capacity,
        watermarks=None if policy.name == "none" else settings.watermarks,
        policy=policy.functions,
        arena_of=policy.arena,
        prefetch_workers=settings.prefetch_workers,
        prefetch_batch=settings.prefetch_batch,
        prefetch_bandwidth=settings.prefetch_bandwidth,
        recorder=recorder,
    )


def begin_prefetch(rafs: Rafs, settings: Settings, workload: Workload) -> None:
    """Begin, or after the first program go on: what is there is passed over."""
    bound = bind_prefetch(settings, workload)
    listed, ahead = bound.rows, bound.fresh()
    if ahead is not None:
        rafs.answer(ahead)
    if isinstance(listed, Batches):
        assert isinstance(rafs.cache, FileCache)
        rafs.cache.prefetch_batches(listed)
    elif len(listed):
        rafs.prefetch(listed.tolist())


def _read(rafs: Rafs, workload: Workload, number: int) -> None:
    row, offset, length = (int(column[number]) for column in (workload.inode, workload.offset, workload.length))
    rafs.readinto(row, offset, bytearray(length), int(workload.read_id[number]))


def _apart(events: pa.Table, program: int) -> pa.Table:
    """With ids of requests that no other program has: each store counts from 0."""
    ids = events["fetch_id"].to_numpy()
    moved = pa.array(np.where(ids >= 0, ids + program * _IDS, ids))
    return events.set_column(events.column_names.index("fetch_id"), "fetch_id", moved)


def _joined(events: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(events, promote_options="permissive")


def _reads(workload: Workload, times: Times, begun: npt.NDArray[np.int64]) -> pa.Table:
    paths = {row: workload.image.path_of(row) for row in np.unique(workload.inode).tolist()}
    columns = {
        "read_id": workload.read_id,
        "t_ns": begun,
        "dur_ns": times.over - begun,
        "think_ns": times.begun - times.free,
        "thread": workload.thread,
        "program": np.array(workload.programs)[workload.program],
        "path": [paths[row] for row in workload.inode.tolist()],
        "offset": workload.offset,
        "length": workload.length,
    }
    return pa.table(columns).select(READS.names)


def _spent(workload: Workload, times: Times) -> int:
    ended = times.started.copy()
    np.maximum.at(ended, workload.program, times.over)
    return int((ended - times.started).sum())
