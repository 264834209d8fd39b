"""Traces of VMware's vscsiStats, versions 1 and 2: requests of a virtual disk; an object is a logical block number.

Source: libCacheSim, traceReader/customizedReader/vscsi.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import TraceError
from workbench.trace.formats._records import open_trace, records

__all__ = ["V2", "read"]

_SERIAL = [("sn", "<u4"), ("len", "<u4"), ("nsg", "<u4")]
_KIND = [("cmd", "<u2"), ("ver", "<u2")]
_V1 = np.dtype([*_SERIAL, *_KIND, ("lbn", "<u8"), ("ts", "<u8")])
V2 = np.dtype([*_KIND, *_SERIAL, ("lbn", "<u8"), ("ts", "<u8"), ("rt", "<u8")])


def read(path: Path) -> Iterator[tuple[Any, Any]]:
    """Batches of ids and sizes.

    Raises
    ------
    TraceError
        If the first record is of neither version.
    """
    kind = _version(path)
    for batch in records(path, kind):
        yield batch["lbn"], batch["len"].astype(np.int64)


def _version(path: Path) -> np.dtype[Any]:
    with open_trace(path) as file:
        head = file.read(V2.itemsize)
    for kind, version in ((V2, 2), (_V1, 1)):
        if len(head) >= kind.itemsize and int(np.frombuffer(head[: kind.itemsize], kind)["ver"][0]) >> 8 == version:
            return kind
    raise TraceError("no record of vscsiStats, neither of version 1 nor of 2", path=path, offset=0)
