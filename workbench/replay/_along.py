"""What reads of a v5 image fetch along: decided by file, so before the clock starts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from storage.image.v5 import Amplifier
from storage.plan import Segments
from workbench.replay._workload import Workload

__all__ = ["widened"]

Columns = tuple[list[int], list[int], list[int]]


def widened(workload: Workload, amplify_io: int) -> Workload:
    """The workload with segments at offset -1 behind each read's own; of v6 images as it is.

    Whether they are fetched is up to the planner, which knows what is there already.
    """
    if workload.version != 5 or amplify_io == 0:
        return workload
    amplifier, known = Amplifier(workload.image, amplify_io), dict[tuple[int, int, int], Columns]()
    own = [column.tolist() for column in workload.segments]
    asks = zip(workload.inode.tolist(), workload.offset.tolist(), workload.length.tolist(), strict=True)
    parts: list[Columns] = []
    for ask, (begin, end) in zip(asks, pairwise(workload.first.tolist()), strict=True):
        if ask not in known:
            known[ask] = amplifier.widened(*ask, [column[begin:end] for column in own])
        parts.append(known[ask])
    segments = Segments(*(np.array([value for part in parts for value in part[i]], np.int64) for i in range(3)))
    first = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])]).astype(np.int64)
    return replace(workload, first=first, segments=segments)
