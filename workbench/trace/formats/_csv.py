"""Comma-separated requests: of time, object and size, with or without a header, and Twitter's.

Objects that are not numbers are told apart by a 64-bit hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from storage.errors import TraceError
from workbench.trace.formats._records import open_trace

__all__ = ["read", "read_twitter"]

_NAMES = {
    "time": ("time", "timestamp", "clock_time"),
    "obj": ("obj", "obj_id", "object", "id", "key", "block", "lbn"),
    "size": ("size", "obj_size", "bytes", "length"),
}


def read(path: Path) -> Iterator[tuple[Any, Any]]:
    """Batches of ids and sizes; without a header the columns are time, object and size.

    Raises
    ------
    TraceError
        If a header names no object, or a line is not like the others.
    """
    with open_trace(path) as file:
        head = file.read(4096).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    fields = [field.strip().strip('"').lower() for field in head.split(",")]
    if set(fields) & {name for known in _NAMES.values() for name in known}:
        names, skip = fields, 1
    else:
        names, skip = [*_NAMES, *(f"column {number}" for number in range(3, len(fields)))][: len(fields)], 0
    obj = _named(path, names, "obj")
    size = _named(path, names, "size")
    for batch in _batches(path, names, [obj, size], skip):
        yield _ids(batch.column(0)), _numbers(path, batch.column(1), size)


def read_twitter(path: Path) -> Iterator[tuple[Any, Any]]:
    """Batches of Twitter's cache traces: an object is a key, its size that of key and value.

    Source: Yang, Yue and Rashmi, "A Large Scale Analysis of Hundreds of In-memory Cache Clusters at Twitter", OSDI
    2020.
    """
    names = ["timestamp", "key", "key_size", "value_size", "client", "operation", "ttl"]
    for batch in _batches(path, names, ["key", "key_size", "value_size"], 0):
        sizes = [_numbers(path, batch.column(n), names[n + 1]) for n in (1, 2)]
        yield _ids(batch.column(0)), sizes[0] + sizes[1]


def _named(path: Path, names: list[str], what: str) -> str:
    for name in _NAMES[what]:
        if name in names:
            return name
    raise TraceError(f"no column is named {' or '.join(_NAMES[what])}", path=path, field=what)


def _batches(path: Path, names: list[str], wanted: list[str], skip: int) -> Iterator[pa.RecordBatch]:
    reading = csv.ReadOptions(column_names=names, skip_rows=skip)
    converting = csv.ConvertOptions(include_columns=wanted)
    try:
        with open_trace(path) as file:
            yield from csv.open_csv(file, reading, convert_options=converting)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise TraceError(f"no comma-separated trace: {error}", path=path) from error


def _ids(column: Any) -> Any:
    if pa.types.is_integer(column.type):
        return column.to_numpy(zero_copy_only=False)
    return pd.util.hash_array(column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(object))


def _numbers(path: Path, column: Any, name: str) -> Any:
    if not pa.types.is_integer(column.type) or column.null_count:
        raise TraceError("a size is not a whole number", path=path, field=name)
    return column.to_numpy(zero_copy_only=False).astype(np.int64)
