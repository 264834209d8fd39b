"""Plain text: one object a line, each of one byte, so that a cache's size counts objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.trace.formats._csv import _batches, _ids

__all__ = ["read"]


def read(path: Path) -> Iterator[tuple[Any, Any]]:
    """Batches of ids and ones."""
    for batch in _batches(path, ["obj"], ["obj"], 0):
        ids = _ids(batch.column(0))
        yield ids, np.ones(len(ids), np.int64)
