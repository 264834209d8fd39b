"""Recording: programs run one after the other on one cache, and what they read written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.backend import Link
from storage.errors import TraceError
from storage.events import read_events
from workbench.trace.child import Job

__all__ = ["PROGRAMS", "Recording", "library_folder", "record"]

PROGRAMS: Mapping[str, Path] = {
    path.stem: path
    for name in ("web_client", "test_runner", "database")
    if (path := Path(__file__).parent / "programs" / f"{name}.py")
}
"""The shipped programs, in the order in which they run."""


@dataclass(frozen=True)
class Recording:
    """What a run left.

    Attributes
    ----------
    reads, events
        Tables in the schemas `READS` and `EVENTS`; times begin with the recording.
    modules
        For each program, the modules that it took from the image.
    output
        What the programs printed.
    """

    reads: pa.Table
    events: pa.Table
    modules: Mapping[str, Sequence[str]]
    output: str


def library_folder() -> str:
    """The standard library of the running interpreter."""
    return os.path.realpath(sysconfig.get_path("stdlib"))


def record(
    image: str | Path,
    blobs: str | Path | None = None,
    *,
    cache_dir: str | Path,
    config: str | Path | None = None,
    programs: Mapping[str, str | Path] = PROGRAMS,
    library: str | None = None,
    plan: str = "exact",
    amplify_io: int | str = 1 << 20,
    capacity: int | None = None,
    eviction: str = "none",
    link: Link | None = None,
    prefetch: Sequence[int] | str = (),
    progress: bool = False,
) -> Recording:
    """Run Python programs whose imports are read out of an image.

    Each runs in an interpreter of its own, one after the other, on one cache folder.

    Parameters
    ----------
    image, blobs, cache_dir, plan, link
        See `storage.factory.open_store`. The image is of a standard library.
    amplify_io
        Bytes, or the name of a policy; see `workbench.policy.amplify`.
    config
        A configuration, of which the section `backend` says where blobs are, if not in a folder.
    programs
        Files by name.
    library
        The folder that the image was built of; by default this interpreter's.
    capacity, eviction
        Of a bounded cache; see `workbench.policy`.
    prefetch
        Chunk rows that the first program's store prefetches from its start; or the name of a policy, which each of
        them has, see `workbench.policy.prefetch`.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    ConfigError
        If there is no policy of a name.
    TraceError
        If a program fails; with the last line that it had to say.
    """
    # Not at the top: children import this module, and are to find asyncio's extension in the image.
    from tqdm.auto import tqdm

    template = Job(
        program="",
        source="",
        library=library or library_folder(),
        image=str(image),
        blobs=None if blobs is None else str(blobs),
        cache_dir=str(cache_dir),
        config=None if config is None else str(config),
        out="",
        plan=plan,
        amplify_io=amplify_io,
        capacity=capacity,
        eviction=eviction,
        link=link,
        prefetch=prefetch if isinstance(prefetch, str) and prefetch != "none" else (),
    )
    _check(amplify_io, prefetch)
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        jobs = [
            replace(template, program=name, source=str(source), out=f"{folder}/{number}")
            for number, (name, source) in enumerate(programs.items())
        ]
        if not jobs:
            raise TraceError("there is no program to run")
        if not isinstance(prefetch, str):
            jobs[0] = replace(jobs[0], prefetch=tuple(prefetch))
        bar = tqdm(jobs, desc="record", unit="program", delay=2, leave=False, disable=None if progress else True)
        output = "".join(_run(job) for job in bar)
        return _merged(jobs, output)


def _check(amplify_io: int | str, prefetch: Sequence[int] | str) -> None:
    """Refuse names of no policies before anything runs."""
    from workbench.policy import amplify
    from workbench.policy import prefetch as prefetches

    if isinstance(amplify_io, str):
        amplify.get(amplify_io)
    if isinstance(prefetch, str):
        prefetches.get(prefetch)


def _run(job: Job) -> str:
    here = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "workbench.trace.child"]
    done = subprocess.run(command, input=job.to_json(), capture_output=True, text=True, env=environment)
    if done.returncode:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise TraceError(f"{job.program} ended with {done.returncode}: {said}", path=job.source)
    return done.stdout


def _merged(jobs: Sequence[Job], output: str) -> Recording:
    """The tables of all programs as one: ids kept apart, times from the first event on."""
    reads, events, modules = [], [], {}
    base = {"read_id": 0, "fetch_id": 0, "seq": 0, "thread": 0, "worker": 0}
    for job in jobs:
        read, event = pq.read_table(f"{job.out}.reads.parquet"), read_events(f"{job.out}.events.arrows")
        modules[job.program] = json.loads(read.schema.metadata[b"nydus.modules"])
        reads.append(_shifted(read, base))
        events.append(_shifted(event, base))
        for name in base:
            for table in (reads[-1], events[-1]):
                if name in table.column_names and table.num_rows:
                    base[name] = max(base[name], pc.max(table[name]).as_py() + 1)
    start = min(pc.min(table["t_ns"]).as_py() for table in (*reads, *events) if table.num_rows)
    metadata = _metadata(jobs[0], reads[0].schema.metadata[b"nydus.image"].decode())
    return Recording(
        reads=_joined(reads, start, metadata), events=_joined(events, start, metadata), modules=modules, output=output
    )


def _shifted(table: pa.Table, base: Mapping[str, int]) -> pa.Table:
    for name, first in base.items():
        if name in table.column_names:
            column = table[name].to_numpy()
            moved = np.where(column >= 0, column + first, column)
            table = table.set_column(table.column_names.index(name), name, pa.array(moved, table[name].type))
    return table


def _joined(tables: Sequence[pa.Table], start: int, metadata: Mapping[str, str]) -> pa.Table:
    whole = pa.concat_tables([table.replace_schema_metadata() for table in tables]).unify_dictionaries()
    times = pa.array(whole["t_ns"].to_numpy() - start)
    whole = whole.set_column(whole.column_names.index("t_ns"), "t_ns", times)
    return whole.combine_chunks().replace_schema_metadata({"nydus.schema": "1", **metadata})


def _metadata(job: Job, digest: str) -> dict[str, str]:
    config: dict[str, Any] = {
        "plan": job.plan,
        "amplify_io": job.amplify_io,
        "capacity": job.capacity,
        "eviction": job.eviction,
        "link": vars(job.link) if job.link else None,
    }
    return {"nydus.image": digest, "nydus.config": json.dumps(config)}
