"""Write object traces for other simulators: a request's time is its number, an object's id its number plus 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from pyarrow import csv

from storage.errors import ConfigError, TraceError
from workbench.simulate import ObjectTrace
from workbench.simulate._objects import NEVER
from workbench.trace.formats._open import detect
from workbench.trace.formats._oracle import RECORD
from workbench.trace.formats._vscsi import V2

__all__ = ["WRITERS", "write_oracle_general", "write_trace"]

_LARGEST = {"oracleGeneral": (1 << 32) - 1, "vscsi": (1 << 32) - 1, "txt": 1}
_BATCH = 1 << 20


def write_trace(path: str | Path, trace: ObjectTrace, kind: str | None = None) -> None:
    """Write a trace, a batch at a time.

    Parameters
    ----------
    path
        Packed on the way if its name ends in .zst (all but Parquet, which is packed inside).
    kind
        One of `WRITERS`; by default what the name says.

    Raises
    ------
    ConfigError
        If there is no such format, or none that is written.
    TraceError
        If an object is larger than the format can say.
    """
    path = Path(path)
    kind = kind or detect(path)
    if kind not in WRITERS:
        raise ConfigError(f"no format {kind!r} is written; there are {', '.join(WRITERS)}", field="format")
    largest = int(trace.sizes.max()) if len(trace.sizes) else 0
    if largest > _LARGEST.get(kind, largest):
        raise TraceError(f"{kind} cannot say that an object has {largest} bytes", path=path)
    with path.open("wb") as file:
        if path.suffix != ".zst" or kind == "parquet":
            WRITERS[kind](file, trace)
            return
        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as packed:
            WRITERS[kind](cast(BinaryIO, packed), trace)


def write_oracle_general(path: str | Path, trace: ObjectTrace) -> None:
    """Write libCacheSim's oracleGeneral, whatever the file's name."""
    write_trace(path, trace, "oracleGeneral")


def _requests(trace: ObjectTrace, future: bool = False) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Times, ids, sizes and, if wanted, next times in batches that fit memory."""
    time = 0
    for objects, nexts in trace.batches(future):
        for first in range(0, len(objects), _BATCH):
            some = objects[first : first + _BATCH]
            times = np.arange(time, time + len(some))
            yield times, some.astype(np.int64) + 1, trace.sizes[some], nexts[first : first + _BATCH]
            time += len(some)


def _oracle_general(file: BinaryIO, trace: ObjectTrace) -> None:
    for times, ids, sizes, nexts in _requests(trace, future=True):
        rows = np.zeros(len(ids), RECORD)
        rows["time"], rows["id"], rows["size"] = times, ids, sizes
        rows["next"] = np.where(nexts == NEVER, NEVER, nexts + (nexts != NEVER))
        file.write(rows.tobytes())


def _vscsi(file: BinaryIO, trace: ObjectTrace) -> None:
    for times, ids, sizes, _ in _requests(trace):
        rows = np.zeros(len(ids), V2)
        rows["cmd"], rows["ver"] = 0x28, 2 << 8  # READ(10), version 2
        rows["sn"], rows["ts"], rows["lbn"], rows["len"] = times & 0xFFFFFFFF, times, ids, sizes
        file.write(rows.tobytes())


def _csv(file: BinaryIO, trace: ObjectTrace) -> None:
    options = csv.WriteOptions(include_header=False)
    file.write(b"time,obj,size\n")
    for times, ids, sizes, _ in _requests(trace):
        csv.write_csv(pa.table({"time": times, "obj": ids, "size": sizes}), file, options)


def _txt(file: BinaryIO, trace: ObjectTrace) -> None:
    for _, ids, _, _ in _requests(trace):
        csv.write_csv(pa.table({"obj": ids}), file, csv.WriteOptions(include_header=False))


def _twitter(file: BinaryIO, trace: ObjectTrace) -> None:
    for times, ids, sizes, _ in _requests(trace):
        zeros = np.zeros(len(ids), np.int64)
        gets = pa.array(np.full(len(ids), "get"))
        columns = [times, ids, zeros, sizes, zeros, gets, zeros]
        table = pa.table(columns, names=["time", "key", "key_size", "value_size", "client", "operation", "ttl"])
        csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))


def _parquet(file: BinaryIO, trace: ObjectTrace) -> None:
    schema = pa.schema({"time": pa.int64(), "obj": pa.int64(), "size": pa.int64()})
    encoded = {"time": "DELTA_BINARY_PACKED"}
    with pq.ParquetWriter(
        file, schema, compression="zstd", use_dictionary=["obj", "size"], column_encoding=encoded
    ) as writer:
        for times, ids, sizes, _ in _requests(trace):
            writer.write_table(pa.table({"time": times, "obj": ids, "size": sizes}, schema=schema))


WRITERS: dict[str, Callable[[BinaryIO, ObjectTrace], None]] = {
    "parquet": _parquet,
    "oracleGeneral": _oracle_general,
    "csv": _csv,
    "twitter": _twitter,
    "txt": _txt,
    "vscsi": _vscsi,
}
