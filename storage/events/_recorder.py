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
from storage.events._schema import EVENTS, ROW, Kind, batch_of

__all__ = ["Recorder", "read_events"]

_PACK = struct.Struct("<10q3i4b").pack_into
# A hit and the read that it served; what is 0 in them is padding, which packs as zeros.
_PACK_HIT_AND_READ = struct.Struct("<3q8x3q16xq3ib3x 3q8x3q8x2qi4xi4x").pack_into
_now = time.monotonic_ns
_HIT = int(Kind.HIT)
_RING_ROWS = 4096
_ROW_BYTES = ROW.itemsize


class _Ring:
    """Rows of one thread that are not on disk yet: those from `drained` to `used`."""

    __slots__ = ("buffer", "drained", "thread", "used", "worker")

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.thread = threading.current_thread()
        self.buffer = bytearray(_RING_ROWS * _ROW_BYTES)
        self.used = 0
        self.drained = 0


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
        self._seq = itertools.count()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._rings: list[_Ring] = []
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
            ring: _Ring = self._local.ring
        except AttributeError:
            ring = self._new_ring()
        if ring.used == _RING_ROWS:
            self._flush_full(ring)
        if t_ns is None:
            t_ns = _now()
        _PACK(
            ring.buffer, ring.used * _ROW_BYTES, next(self._seq), t_ns, dur_ns, ttfb_ns, read_id, fetch_id,
            chunk, offset, length, user_bytes, blob, chunks, ring.worker, kind, cause, outcome, 0,
        )  # fmt: skip
        ring.used += 1

    def log_hit(self, t_ns: int, read_id: int, blob: int, chunk: int, size: int) -> None:
        """Log a read from `t_ns` until now that one chunk in the cache served whole, and that hit: the hot path."""
        try:
            ring: _Ring = self._local.ring
        except AttributeError:
            ring = self._new_ring()
        if ring.used > _RING_ROWS - 2:
            self._flush_full(ring)
        spent, seq = _now() - t_ns, self._seq
        _PACK_HIT_AND_READ(
            ring.buffer, ring.used * _ROW_BYTES,
            next(seq), t_ns, spent, read_id, -1, chunk, size, blob, 1, ring.worker, _HIT,
            next(seq), t_ns, spent, read_id, -1, -1, size, size, -1, ring.worker,
        )  # fmt: skip
        ring.used += 2

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
            for ring in self._rings:
                self._drain(ring)
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

    def _new_ring(self) -> _Ring:
        with self._lock:
            for ring in self._rings:
                if not ring.thread.is_alive():
                    ring.thread = threading.current_thread()
                    break
            else:
                ring = _Ring(len(self._rings))
                self._rings.append(ring)
        self._local.ring = ring
        return ring

    def _flush_full(self, ring: _Ring) -> None:
        with self._lock:
            self._drain(ring)
            ring.used = ring.drained = 0

    def _drain(self, ring: _Ring) -> None:
        used = ring.used
        if used > ring.drained:
            rows = np.frombuffer(ring.buffer, ROW, used)[ring.drained :].copy()
            self._stream.write_batch(batch_of(rows).replace_schema_metadata(self.schema.metadata))
            ring.drained = used


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
