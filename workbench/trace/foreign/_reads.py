"""Columns of a format as a table of reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from storage.errors import TraceError
from workbench.trace._schema import READS

__all__ = ["Row", "lines_of", "table_of"]


class Row(NamedTuple):
    """One read: nanoseconds, who, which file, and what of it."""

    t_ns: int
    dur_ns: int
    thread: int
    path: str
    offset: int
    length: int


def lines_of(path: str | Path) -> list[str]:
    """The lines of a text file.

    Raises
    ------
    TraceError
        If it cannot be read.
    """
    try:
        return Path(path).read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise TraceError(f"the trace cannot be read: {error.strerror}", path=path) from error


def table_of(rows: Sequence[Row], program: str, source: str | Path) -> pa.Table:
    """Rows in the schema `READS`: times from the first on, threads numbered, think times from what lies between.

    Raises
    ------
    TraceError
        If there is no row.
    """
    if not rows:
        raise TraceError("there is no read in the trace", path=source)
    t, spent, thread, paths, offset, length = (np.array(column) for column in zip(*rows, strict=True))
    _, number = np.unique(thread, return_inverse=True)
    order = np.argsort(t, kind="stable")
    t, spent, number, offset, length = (column[order] for column in (t - t.min(), spent, number, offset, length))
    columns = [np.arange(len(t)), t, spent, _think(t, spent, number), number.astype(np.int32)]
    words = [pa.array([program] * len(t)), pa.array(paths[order].tolist())]
    arrays = [*map(pa.array, columns), *(w.dictionary_encode() for w in words), pa.array(offset), pa.array(length)]
    return pa.table([array.cast(field.type) for array, field in zip(arrays, READS, strict=True)], schema=READS)


def _think(t: np.ndarray, spent: np.ndarray, thread: np.ndarray) -> np.ndarray:
    think = np.zeros(len(t), np.int64)
    for number in np.unique(thread):
        mine = np.flatnonzero(thread == number)
        ended = np.concatenate([[0], (t + spent)[mine][:-1]])
        think[mine] = np.maximum(t[mine] - ended, 0)
    return think
