"""Several workloads as one: clients that share a link, or programs that share a cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import TraceError
from storage.plan import Segments
from workbench.replay._workload import Workload

__all__ = ["fleet", "together"]

I64 = npt.NDArray[np.int64]


def fleet(workloads: Sequence[Workload], start_ns: Sequence[int] | None = None) -> Workload:
    """Clients that each have a cache of their own, and share the link.

    Parameters
    ----------
    workloads
        What each client does, all over the same image; the same one several times is an image that starts on
        several machines.
    start_ns
        When each starts; by default all at once.

    Raises
    ------
    TraceError
        If there are none, or they are over different images.
    """
    starts = [0] * len(workloads) if start_ns is None else start_ns
    if len(starts) != len(workloads) or not workloads:
        raise TraceError("a fleet needs a client, and a start for each", field="start_ns")
    programs = np.cumsum([0, *(len(workload.programs) for workload in workloads)])
    return _joined(workloads, programs, np.asarray(starts, np.int64), _firsts(workloads, "program_first"))


def together(workloads: Sequence[Workload]) -> Workload:
    """Programs that run at the same time on one cache: the first of each, then the second of each, and so on.

    Raises
    ------
    TraceError
        If they have different numbers of programs, or are over different images.
    """
    if len({len(workload.programs) for workload in workloads}) != 1 or any(len(w.client_start) > 1 for w in workloads):
        raise TraceError("what runs together needs as many programs each, of one client", field="programs")
    apart = fleet(workloads)
    rounds = len(workloads[0].programs)
    order = [program for number in range(rounds) for program in range(number, len(apart.programs), rounds)]
    threads = np.concatenate([np.arange(*apart.program_first[program : program + 2]) for program in order])
    counts = np.diff(apart.program_first)[order].reshape(rounds, -1).sum(axis=1)
    return _by_threads(apart, threads, np.cumsum([0, *counts]), workloads[0].programs)


def _by_threads(workload: Workload, threads: I64, program_first: I64, programs: tuple[str, ...]) -> Workload:
    """The same reads with threads in another order, and other programs."""
    reads = _ranges(workload.thread_first, threads)
    segments = _ranges(workload.first, reads)
    return Workload(
        read_id=workload.read_id[reads],
        think_ns=workload.think_ns[reads],
        offset=workload.offset[reads],
        length=workload.length[reads],
        first=np.cumsum([0, *np.diff(workload.first)[reads]]),
        segments=Segments(*(column[segments] for column in workload.segments)),
        thread_first=np.cumsum([0, *np.diff(workload.thread_first)[threads]]),
        program_first=program_first,
        programs=programs,
        layout=workload.layout,
        due_ns=workload.due_ns[reads],
        inode=workload.inode[reads] if len(workload.inode) else workload.inode,
        image=workload.image,
    )


def _ranges(first: I64, chosen: I64) -> I64:
    """Numbers in the chosen ones of the ranges that begin at `first`."""
    return np.concatenate([np.arange(0), *(np.arange(*first[number : number + 2]) for number in chosen)])


def _firsts(workloads: Sequence[Workload], name: str) -> I64:
    """Where things begin, counted on from one workload to the next."""
    firsts, base = [np.zeros(1, np.int64)], 0
    for workload in workloads:
        column = getattr(workload, name)
        firsts.append(column[1:] + base)
        base += column[-1]
    return np.concatenate(firsts)


def _spread(workloads: Sequence[Workload]) -> list[int]:
    """What to add to each one's read ids so that no two have one."""
    return np.cumsum([0, *(int(workload.read_id.max(initial=-1)) + 1 for workload in workloads[:-1])]).tolist()


def _joined(workloads: Sequence[Workload], client_first: I64, starts: I64, program_first: I64) -> Workload:
    layout = workloads[0].layout
    for workload in workloads:
        if not all(np.array_equal(mine, other) for mine, other in zip(workload.layout, layout, strict=True)):
            raise TraceError("clients of a fleet read one image")

    def column(name: str) -> I64:
        return np.concatenate([getattr(workload, name) for workload in workloads])

    ids = [workload.read_id + number for workload, number in zip(workloads, _spread(workloads), strict=True)]
    return Workload(
        read_id=np.concatenate(ids),
        think_ns=column("think_ns"),
        offset=column("offset"),
        length=column("length"),
        first=_firsts(workloads, "first"),
        segments=Segments(*(np.concatenate(parts) for parts in zip(*(w.segments for w in workloads), strict=True))),
        thread_first=_firsts(workloads, "thread_first"),
        program_first=program_first,
        programs=tuple(name for workload in workloads for name in workload.programs),
        layout=layout,
        due_ns=column("due_ns"),
        client_first=client_first,
        client_start=starts,
        inode=column("inode"),
        image=workloads[0].image,
    )
