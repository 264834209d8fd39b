"""Parquet with the columns obj and size, whatever else there is; read a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import TraceError

__all__ = ["read"]

_BATCH = 1 << 18


def read(path: Path) -> Iterator[tuple[Any, Any]]:
    """Batches of ids and sizes.

    Raises
    ------
    TraceError
        If it is no such Parquet.
    """
    try:
        # Buffered ahead, the whole file would come into memory.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            missing = {"obj", "size"} - set(file.schema_arrow.names)
            if missing:
                raise TraceError(f"has no column {' or '.join(sorted(missing))}: no object trace", path=path)
            for batch in file.iter_batches(_BATCH, columns=["obj", "size"]):
                yield batch.column(0).to_numpy(zero_copy_only=False), batch.column(1).to_numpy().astype(np.int64)
    except (pa.ArrowInvalid, OSError) as error:
        raise TraceError(f"cannot read: {error}", path=path) from error
