"""Write object traces for other simulators."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.simulate import ObjectTrace
from workbench.simulate._objects import NEVER
from workbench.trace.formats._oracle import RECORD

__all__ = ["write_oracle_general"]


def write_oracle_general(path: str | Path, trace: ObjectTrace) -> None:
    """Write libCacheSim's oracleGeneral; a request's time is its number, an object's id its number plus 1."""
    objects, nexts = trace.objects, trace.nexts
    rows = np.zeros(len(trace), RECORD)
    rows["time"], rows["id"], rows["size"] = np.arange(len(trace)), objects.astype(np.int64) + 1, trace.sizes[objects]
    rows["next"] = np.where(nexts == NEVER, NEVER, nexts + (nexts != NEVER))
    rows.tofile(path)
