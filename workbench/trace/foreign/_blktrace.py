"""blkparse's default output: ``8,0 3 11 0.009507758 697 D R 223490 + 8 [name]`` (blkparse(1), "Default output")."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from storage.errors import TraceError
from workbench.trace.foreign._reads import Row, lines_of, table_of

__all__ = ["read_blktrace"]

_SECTOR = 512
_LINE = re.compile(
    r"\s*\d+,\d+\s+\d+\s+\d+\s+(?P<s>\d+)\.(?P<ns>\d{9})\s+(?P<pid>\d+)\s+(?P<action>[A-Z]+)\s+(?P<rwbs>[A-Z]+)"
    r"\s+(?P<sector>\d+)\s*\+\s*(?P<count>\d+)"
)


def read_blktrace(text: str | Path, path: str, action: str = "Q", program: str = "blktrace") -> pa.Table:
    """Reads of a block device, each as a read of the file that lies on it.

    Parameters
    ----------
    text
        A file with blkparse's output.
    path
        The file of the image that the device is.
    action
        ``Q``, queued: what was asked, by whom; or ``D``, issued: what the device saw.

    Raises
    ------
    TraceError
        If there is no such action in it.
    """
    rows = []
    for line in lines_of(text):
        found = _LINE.match(line)
        if found and found["action"] == action and "R" in found["rwbs"] and int(found["count"]):
            t = int(found["s"]) * 1_000_000_000 + int(found["ns"])
            at, length = int(found["sector"]) * _SECTOR, int(found["count"]) * _SECTOR
            rows.append(Row(t, 0, int(found["pid"]), path, at, length))
    if not rows:
        raise TraceError(f"has no read with action {action}: is it blkparse's output?", path=text)
    return table_of(rows, program, text)
