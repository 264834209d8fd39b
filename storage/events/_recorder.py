"""A recorder: rows go to a ring of the thread's own, full rings to an Arrow stream on disk."""

from __future__ import annotations

import itertools
import struct
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pyarrow as pa

from storage.errors import TraceError
from storage.events._hits import HIT, HITS_AT_ONCE, batch_of_hits
from storage.events._schema import EVENTS, ROW, batch_of

__all__ = ["Recorder", "read_events"]

_PACK = struct.Struct("<10q3i4b").pack_into
_PACK_HIT = struct.Struct("<5q2i").pack_into
_now = time.monotonic_ns
_ROWS_AT_ONCE = 4096
_ROW_BYTES = ROW.itemsize
_HIT_BYTES = HIT.itemsize


class _Ring:
    """What one thread logged that is not on disk yet: records from `drained` to `used`, of rows or of hits."""

    __slots__ = ("buffer", "drained", "dtype", "used")

    def __init__(self, dtype: np.dtype, size: int) -> None:
        self.dtype = dtype
        self.buffer = bytearray(size * dtype.itemsize)
        self.used = 0
        self.drained = 0

    def take(self) -> np.ndarray:
        """The records that nobody took yet."""
        records = np.frombuffer(self.buffer, self.dtype, self.used)[self.drained :]
        self.drained += len(records)
        return records


class _Worker:
    """A thread that logs, and its rings."""

    __slots__ = ("hits", "number", "rows", "thread")

    def __init__(self, number: int) -> None:
        self.number = number
        self.thread = threading.current_thread()
        self.rows = _Ring(ROW, _ROWS_AT_ONCE)
        self.hits = _Ring(HIT, HITS_AT_ONCE)


class Recorder:
    """Collects events without losing one, in bounded memory.

    Any thread may log. A row costs well under a microsecond and takes no lock; once in 4096
    rows a thread writes its ring to the file. The file is an Arrow IPC stream: after a
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
        self._local = threading.local()
        self._workers: list[_Worker] = []
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
        try:
            worker: _Worker = self._local.worker
        except AttributeError:
            worker = self._new_worker()
        ring = worker.rows
        if ring.used == _ROWS_AT_ONCE:
            self._flush_full(worker, ring)
        if t_ns is None:
            t_ns = _now()
        _PACK(
            ring.buffer, ring.used * _ROW_BYTES, next(self._seq), t_ns, dur_ns, ttfb_ns, read_id, fetch_id,
            chunk, offset, length, user_bytes, blob, chunks, worker.number, kind, cause, outcome, 0,
        )  # fmt: skip
        ring.used += 1

    def log_hit(self, t_ns: int, read_id: int, blob: int, chunk: int, size: int) -> None:
        """Log a read from `t_ns` until now that one chunk in the cache served whole, and that hit: the hot path."""
        try:
            ring: _Ring = self._local.worker.hits
        except AttributeError:
            ring = self._new_worker().hits
        used = ring.used
        if used == HITS_AT_ONCE:
            self._flush_full(self._local.worker, ring)
            used = 0
        _PACK_HIT(ring.buffer, used * _HIT_BYTES, next(self._seq), t_ns, _now(), read_id, chunk, blob, size)
        ring.used = used + 1

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
        with self._lock:
            for worker in self._workers:
                if not worker.thread.is_alive():
                    worker.thread = threading.current_thread()
                    break
            else:
                worker = _Worker(len(self._workers))
                self._workers.append(worker)
        self._local.worker = worker
        return worker

    def _flush_full(self, worker: _Worker, ring: _Ring) -> None:
        with self._lock:
            self._drain(worker)
            ring.used = ring.drained = 0

    def _drain(self, worker: _Worker) -> None:
        if len(rows := worker.rows.take()):
            self._write(batch_of(rows))
        if len(hits := worker.hits.take()):
            self._write(batch_of_hits(hits, worker.number))

    def _write(self, batch: pa.RecordBatch) -> None:
        self._stream.write_batch(batch.replace_schema_metadata(self.schema.metadata))


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
