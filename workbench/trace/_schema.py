"""The schema of a workload: one row a read of a file.

Columns
-------
read_id : int64
    The same number as in the events of the run.
t_ns, dur_ns : int64
    Start since the recording began, and duration.
think_ns : int64
    Since the previous read of the same thread ended, or, for its first, since the program started.
thread : int32
    Distinct over all programs.
program, path : dictionary
    Who read, and which file of the image.
offset, length : int64
    Where, and how many bytes there were.

A workload speaks of files, not of chunks, so it can be replayed on any layout of the same tree.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import TraceError

__all__ = ["READS", "check_image", "read_reads", "write_table"]

READS = pa.schema(
    [
        ("read_id", pa.int64()),
        ("t_ns", pa.int64()),
        ("dur_ns", pa.int64()),
        ("think_ns", pa.int64()),
        ("thread", pa.int32()),
        ("program", pa.dictionary(pa.int32(), pa.string())),
        ("path", pa.dictionary(pa.int32(), pa.string())),
        ("offset", pa.int64()),
        ("length", pa.int64()),
    ],
    metadata={"nydus.schema": "1"},
)

_IMAGE = b"nydus.image"


def write_table(path: str | Path, table: pa.Table) -> None:
    """Write reads or events as Parquet, small."""
    numbers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    encodings = dict.fromkeys(numbers, "DELTA_BINARY_PACKED")
    words = [field.name for field in table.schema if field.name not in encodings]
    pq.write_table(table, path, compression="zstd", use_dictionary=words, column_encoding=encodings)


def read_reads(path: str | Path) -> pa.Table:
    """Read a workload.

    Raises
    ------
    TraceError
        If the file is not there, or is no workload.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise TraceError(f"the trace cannot be read: {error}", path=path) from error
    missing = [name for name in READS.names if name not in table.column_names]
    if missing:
        raise TraceError(f"is not a trace of reads: it has no column {missing[0]!r}", path=path)
    try:
        return table.select(READS.names).cast(READS.with_metadata(table.schema.metadata))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TraceError(f"is not a trace of reads: {error}", path=path) from error


def check_image(table: pa.Table, digest: str, path: str | Path | None = None) -> None:
    """Make sure that a trace was recorded on an image.

    Parameters
    ----------
    digest
        The image's `bootstrap_digest`.

    Raises
    ------
    TraceError
        If it was recorded on another.
    """
    recorded = (table.schema.metadata or {}).get(_IMAGE, b"").decode()
    if recorded and recorded != digest:
        message = f"was recorded on image {recorded[:12]}, this one is {digest[:12]}: name that image"
        raise TraceError(message, path=path)
