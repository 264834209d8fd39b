"""A child interpreter: opens the store in its process and runs a program whose imports come from the image.

Run by `record` as ``python -m workbench.trace.child``, with a `Job` as JSON on standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from storage.backend import Link, MeteredBackend, RoutedBackend
from storage.config import load_config
from storage.configured import open_backends
from storage.errors import StorageError, TraceError
from storage.events import Recorder
from storage.factory import open_store
from storage.fs import Rafs
from storage.image import locate
from storage.plan import Amplify, plan_layout, plan_options
from workbench import policy
from workbench.trace._finder import ImageFinder, forget_library
from workbench.trace._reader import RecordingReader
from workbench.trace._schema import write_table

__all__ = ["Job", "main"]


@dataclass(frozen=True)
class Job:
    """What a child is to do.

    Attributes
    ----------
    program, source
        Its name and its file.
    library
        The folder that the image was built of.
    image, blobs, cache_dir, plan, amplify_io, capacity, eviction, link
        See `storage.factory.open_store` and `workbench.policy`.
    prefetch
        Chunk rows to prefetch from the start, or the name of a policy, see `workbench.policy.prefetch`.
    config
        A configuration that says where blobs are.
    out
        Reads and events go to ``<out>.reads.parquet`` and ``<out>.events.arrows``.
    """

    program: str
    source: str
    library: str
    image: str
    blobs: str | None
    cache_dir: str
    out: str
    config: str | None = None
    plan: str = "exact"
    amplify_io: int | str = 1 << 20
    capacity: int | None = None
    eviction: str = "none"
    link: Link | None = None
    prefetch: tuple[int, ...] | str = ()

    def to_json(self) -> str:
        """The job as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job out of text."""
        values = json.loads(text)
        link = values.pop("link")
        if not isinstance(values["prefetch"], str):
            values["prefetch"] = tuple(values["prefetch"])
        return cls(link=Link(**link) if link else None, **values)


def main() -> None:
    """Do the job on standard input."""
    job = Job.from_json(sys.stdin.read())
    try:
        _run(job)
    except StorageError as error:
        sys.exit(f"{job.program}: {error}")


def _run(job: Job) -> None:
    chosen = policy.get(job.eviction)
    with Recorder(f"{job.out}.events.arrows") as recorder:
        backend = _backend(job, recorder)
        rafs = open_store(
            job.image,
            job.blobs,
            backend=backend,
            cache_dir=job.cache_dir,
            plan=job.plan,
            amplify_io=_amplify(job),
            capacity=job.capacity if job.eviction != "none" else None,
            policy=chosen.functions,
            arena_of=chosen.arena,
            link=job.link,
            recorder=recorder,
        )
        with rafs, contextlib.ExitStack() as owned:
            if backend is not None:
                owned.callback(backend.close)
            reader = RecordingReader(rafs, job.program)
            found = _run_program(job, reader)
            metadata = {"nydus.image": rafs.image.bootstrap_digest, "nydus.modules": json.dumps(found)}
            write_table(f"{job.out}.reads.parquet", reader.table(metadata))


def _backend(job: Job, recorder: Recorder) -> MeteredBackend | RoutedBackend | None:
    if job.config is None:
        return None
    return open_backends(locate(job.image), load_config(job.config), recorder)


# Policies are imported where one is named: what is not loaded is taken from the image.
def _amplify(job: Job) -> int | Amplify:
    if not isinstance(job.amplify_io, str):
        return job.amplify_io
    from workbench.policy import amplify

    return amplify.get(job.amplify_io)


def _prefetch(job: Job, rafs: Rafs) -> Callable[[], None]:
    """What begins to prefetch, with all that it needs imported."""
    if not isinstance(job.prefetch, str):
        return partial(rafs.prefetch, job.prefetch) if job.prefetch else lambda: None
    from workbench.policy import prefetch

    layout = plan_layout(rafs.image.chunks)
    options = plan_options(job.plan, _amplify(job), rafs.image.version)
    bound = prefetch.get(job.prefetch).bind(prefetch.Known(layout, options, rafs.image))
    return partial(prefetch.begin, rafs, bound)


def _run_program(job: Job, reader: RecordingReader) -> list[str]:
    """Run the program, with nothing of the library loaded but what stays; returns the modules it took."""
    code = compile(Path(job.source).read_bytes(), job.source, "exec")
    finder, begin = ImageFinder(reader), _prefetch(job, reader.rafs)
    path, modules = sys.meta_path[:], dict(sys.modules)
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": job.source}
    forget_library(job.library + os.sep)
    sys.meta_path.insert(0, finder)
    sys.argv = [job.source]
    sys.path[0] = str(Path(job.source).parent)
    begin()
    reader.start()
    try:
        exec(code, namespace)
    except StorageError:
        raise
    except Exception as error:
        raise TraceError(f"the program failed: {type(error).__name__}: {error}", path=job.source) from error
    finally:
        sys.meta_path[:] = path
        sys.modules.update(modules)
    return finder.found


if __name__ == "__main__":
    main()
