"""The list of nydus-snapshotter's optimizer: ``path,size,elapsed`` of each file when it was first opened."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from storage.errors import TraceError
from workbench.trace.foreign._reads import lines_of

__all__ = ["read_fanotify", "write_fanotify"]

_HEAD = ["path", "size", "elapsed"]


def read_fanotify(path: str | Path) -> list[str]:
    """Paths in the order in which they were opened, each once.

    Raises
    ------
    TraceError
        If it has no column ``path``.
    """
    rows = list(csv.reader(lines_of(path)))
    if not rows or _HEAD[0] not in rows[0]:
        raise TraceError("is no list of the fanotify optimizer: it has no column 'path'", path=path)
    column = rows[0].index(_HEAD[0])
    return list(dict.fromkeys(row[column] for row in rows[1:] if len(row) > column and row[column]))


def write_fanotify(files: Sequence[tuple[str, int, int]], path: str | Path) -> None:
    """Write paths, sizes and microseconds since the start."""
    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEAD)
        writer.writerows(files)
