"""libCacheSim's oracleGeneral: 24 bytes a request, with the time of the object's next.

Source: libCacheSim, traceReader/customizedReader/oracle/oracleGeneralBin.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.trace.formats._records import records

__all__ = ["RECORD", "read"]

RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


def read(path: Path) -> Iterator[tuple[Any, Any]]:
    """Batches of ids and sizes."""
    for batch in records(path, RECORD):
        yield batch["id"], batch["size"].astype(np.int64)
