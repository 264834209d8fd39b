"""A recorder: records go to a list of the thread's own, long lists to an Arrow stream on disk."""

from __future__ import annotations

import itertools
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pyarrow as pa

from storage.errors import TraceError
from storage.events._hits import HIT, HITS_AT_ONCE, batch_of_hits
from storage.events._schema import EVENTS, ROW, batch_of

__all__ = ["Recorder", "read_events"]

_pack = struct.Struct("<10q3i4b").pack
_pack_hit = struct.Struct("<5q2i").pack
_now = time.monotonic_ns
_AT_ONCE = 4096


class _Worker:
    """A thread that logs, and what it logged that is not on disk yet, each record packed."""

    __slots__ = ("hits", "number", "rows")

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: list[bytes] = []
        self.hits: list[bytes] = []


class Recorder:
    """Collects events without losing one, in bounded memory.

    Any thread may log. A row costs well under a microsecond and takes no lock; once in 4096
    rows a thread writes what it has to the file. The file is an Arrow IPC stream: after a
    crash it is readable up to the last batch.

    Parameters
    ----------
    path
        Where the stream is kept; by default a temporary file.
    metadata
        Added to the schema's metadata: image digest (``nydus.image``), config (``nydus.config``).

    Examples
    --------
    >>> recorder = Recorder()
    >>> recorder.log(kind=Kind.EVICT, chunk=3, length=4096)
    >>> recorder.table().num_rows
    1
    """

    def __init__(self, path: str | Path | None = None, metadata: Mapping[str, str] | None = None) -> None:
        self._seq = itertools.count(0, 2)  # a hit takes the odd number after its own for its read
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._of_thread: dict[int, _Worker] = {}
        self.log_hit = self._hit_logger()
        self._file: IO[bytes] = tempfile.TemporaryFile() if path is None else Path(path).open("w+b")  # noqa: SIM115
        known = {key.decode(): value.decode() for key, value in (EVENTS.metadata or {}).items()}
        self.schema = EVENTS.with_metadata({**known, **(metadata or {})})
        self._stream = pa.ipc.new_stream(self._file, self.schema)

    def log(
        self,
        *,
        kind: int,
        cause: int = 0,
        t_ns: int | None = None,
        dur_ns: int = 0,
        ttfb_ns: int = 0,
        read_id: int = -1,
        fetch_id: int = -1,
        blob: int = -1,
        chunk: int = -1,
        chunks: int = 0,
        offset: int = 0,
        length: int = 0,
        user_bytes: int = 0,
        outcome: int = 0,
    ) -> None:
        """Log one row; see the schema for what the columns mean. `t_ns` is now by default."""
        worker = self._of_thread.get(threading.get_ident()) or self._new_worker()
        worker.rows.append(
            _pack(
                next(self._seq), _now() if t_ns is None else t_ns, dur_ns, ttfb_ns, read_id, fetch_id,
                chunk, offset, length, user_bytes, blob, chunks, worker.number, kind, cause, outcome, 0,
            )
        )  # fmt: skip
        if len(worker.rows) >= _AT_ONCE:
            self._flush_full(worker)

    def _hit_logger(self) -> Callable[[int, int, int, int, int], None]:
        """Make ``log_hit(t_ns, read_id, blob, chunk, size)``, in whose cells is all that it needs: the hot path.

        It logs a read from `t_ns` until now that one chunk in the cache served whole, and that hit.
        """
        of_thread, get_ident, seq, now, pack = self._of_thread, threading.get_ident, self._seq, _now, _pack_hit

        def log_hit(t_ns: int, read_id: int, blob: int, chunk: int, size: int) -> None:
            try:
                hits = of_thread[get_ident()].hits
            except KeyError:
                hits = self._new_worker().hits
            hits.append(pack(next(seq), t_ns, now(), read_id, chunk, blob, size))
            if len(hits) >= HITS_AT_ONCE:
                self._flush_full(of_thread[get_ident()])

        return log_hit

    def table(self) -> pa.Table:
        """Everything logged so far, sorted by `seq`."""
        self.flush()
        with self._lock:
            end = self._file.tell()
            self._file.seek(0)
            batches = list(_batches(self._file))
            self._file.seek(end)
        return pa.Table.from_batches(batches, self.schema).sort_by("seq").combine_chunks()

    def flush(self) -> None:
        """Bring all rows logged so far to the file."""
        with self._lock:
            for worker in self._workers:
                self._drain(worker)
            self._file.flush()

    def close(self) -> None:
        """Flush and end the stream; nothing may be logged after it."""
        self.flush()
        with self._lock:
            self._stream.close()
            self._file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _new_worker(self) -> _Worker:
        """The calling thread's: one that a dead thread left, or another."""
        ident = threading.current_thread().ident or 0
        with self._lock:
            alive = {thread.ident for thread in threading.enumerate()}
            left = next((known for known in self._of_thread if known not in alive), None)
            if left is not None:
                worker = self._of_thread.pop(left)
            else:
                worker = _Worker(len(self._workers))
                self._workers.append(worker)
            self._of_thread[ident] = worker
        return worker

    def _flush_full(self, worker: _Worker) -> None:
        with self._lock:
            self._drain(worker)

    def _drain(self, worker: _Worker) -> None:
        if len(rows := _take(worker.rows, ROW)):
            self._write(batch_of(rows))
        if len(hits := _take(worker.hits, HIT)):
            self._write(batch_of_hits(hits, worker.number))

    def _write(self, batch: pa.RecordBatch) -> None:
        self._stream.write_batch(batch.replace_schema_metadata(self.schema.metadata))


def _take(records: list[bytes], dtype: np.dtype) -> np.ndarray:
    """The first of them, that are no longer in the list then; its thread may append to it meanwhile."""
    first = records[:_AT_ONCE]
    del records[: len(first)]
    return np.frombuffer(b"".join(first), dtype)


def _batches(file: IO[bytes]) -> Any:
    """Batches of a stream, up to where it is whole."""
    try:
        stream = pa.ipc.open_stream(file)
        while True:
            yield stream.read_next_batch()
    except (StopIteration, pa.ArrowInvalid, OSError):
        return


def read_events(path: str | Path) -> pa.Table:
    """The events of a stream on disk, up to the last whole batch.

    Raises
    ------
    TraceError
        If the file is not there or is no stream of events.
    """
    try:
        with Path(path).open("rb") as file:
            schema = pa.ipc.open_stream(file).schema
            file.seek(0)
            batches = list(_batches(file))
    except (OSError, pa.ArrowInvalid) as error:
        raise TraceError(f"cannot be read as events: {error}", path=path) from error
    if not schema.equals(EVENTS):
        raise TraceError("is not a stream of events of this version", path=path)
    return pa.Table.from_batches(batches, schema).sort_by("seq").combine_chunks()
