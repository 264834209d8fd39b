"""A workload run for real."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from storage.backend import BlobBackend, ShapedBackend
from storage.cache import FileCache
from storage.errors import BackendError, StorageError
from storage.events import Recorder
from storage.factory import default_backend, open_store
from storage.fs import Rafs
from storage.image import locate, open_image
from storage.plan import Batches
from workbench.replay._settings import Settings, amplify_of, bind_prefetch
from workbench.replay._workload import Workload
from workbench.trace import READS

__all__ = ["Live", "run_live"]

_IDS = 1 << 32


@dataclass(frozen=True)
class Live:
    """Events, reads, and the time to the last read, of a workload that was run."""

    events: pa.Table
    reads: pa.Table
    time_to_last_read_ns: int


def run_live(image: str | Path, trace: pa.Table, settings: Settings, backend: BlobBackend | None = None) -> Live:
    """Run a workload for real on an empty cache: its programs one after the other, threads with their think times.

    Parameters
    ----------
    image
        A folder with bootstrap and blobs.
    trace
        Reads, in the schema `workbench.trace.READS`.
    settings
        Of the store; its link is put before the image's own blobs, and is new when the first program starts.
    backend
        Where blobs come from instead, behind no link but its own.

    Raises
    ------
    StorageError
        What a read raises, unless it is the link of `settings` that refuses: that read is over, and the next begins.
    """
    workload = Workload.from_reads(trace, open_image(image))
    rows = trace.to_pandas().set_index("read_id").loc[workload.read_id]
    asked = list(zip(rows["path"].astype(str), rows["offset"], rows["length"], strict=True))
    refusing = backend is None and settings.link.errors_ppm > 0
    spent, done, events = 0, list[tuple[Any, ...]](), list[pa.Table]()
    with tempfile.TemporaryDirectory(prefix="validate-") as cache, _source(image, settings, backend) as source:
        for program in range(len(workload.programs)):
            recorder = Recorder()
            with _open(image, cache, settings, workload, source, recorder) as rafs:
                if program == 0 and isinstance(source, ShapedBackend):
                    source.restart()
                _prefetch(rafs, settings, workload)
                start = time.monotonic_ns()
                _drive(rafs, workload, program, asked, start, done, refusing)
                spent += max((row[1] + row[2] for row in done if row[5] == program), default=start) - start
            events.append(_apart(recorder.table(), program))
        return Live(pa.concat_tables(events, promote_options="permissive"), _table(done, workload), spent)


@contextlib.contextmanager
def _source(image: str | Path, settings: Settings, backend: BlobBackend | None) -> Iterator[BlobBackend]:
    if backend is not None:
        yield backend
        return
    with contextlib.closing(default_backend(locate(image))) as own:
        yield ShapedBackend(own, settings.link)


def _open(
    image: str | Path, cache: str, settings: Settings, workload: Workload, backend: BlobBackend, recorder: Recorder
) -> Rafs:
    policy = settings.policy
    return open_store(
        image,
        cache_dir=cache,
        backend=backend,
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


def _prefetch(rafs: Rafs, settings: Settings, workload: Workload) -> None:
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


def _apart(events: pa.Table, program: int) -> pa.Table:
    """With ids of requests that no other program has: each store counts from 0."""
    ids = events["fetch_id"].to_numpy()
    moved = pa.array(np.where(ids >= 0, ids + program * _IDS, ids))
    return events.set_column(events.column_names.index("fetch_id"), "fetch_id", moved)


def _drive(
    rafs: Rafs,
    workload: Workload,
    program: int,
    asked: Sequence[tuple[str, int, int]],
    start: int,
    done: list[Any],
    refusing: bool,
) -> None:
    """All threads of a program, from `start` on, to their last read."""
    errors: list[StorageError] = []

    def read_all(thread: int) -> None:
        ended = start
        for read in range(*workload.thread_first[thread : thread + 2]):
            path, offset, length = asked[read]
            _sleep_until(ended + int(workload.think_ns[read]))
            number, begun = int(workload.read_id[read]), time.monotonic_ns()
            with contextlib.suppress(*([BackendError] if refusing else [])):
                rafs.readinto(rafs.lookup(path), offset, bytearray(length), number)
            over = time.monotonic_ns()
            done.append((number, begun, over - begun, begun - ended, thread, program, path, offset, length))
            ended = over

    def safely(thread: int) -> None:
        try:
            read_all(thread)
        except StorageError as error:
            errors.append(error)

    _together([partial(safely, thread) for thread in range(*workload.program_first[program : program + 2])])
    if errors:
        raise errors[0]


def _together(calls: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sleep_until(deadline: int) -> None:
    left = deadline - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)


def _table(rows: Sequence[tuple[Any, ...]], workload: Workload) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    columns[5] = tuple(workload.programs[number] for number in columns[5])
    arrays = [pa.array(np.array(column) if i != 5 and i != 6 else column) for i, column in enumerate(columns)]
    return pa.table(arrays, names=READS.names)
