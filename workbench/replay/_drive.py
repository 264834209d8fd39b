"""Threads that read at the times a workload says, and when they did."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.replay._workload import Workload

__all__ = ["Times", "drive", "due_of", "new_times", "sleep_until"]

I64 = npt.NDArray[np.int64]


class Times(NamedTuple):
    """When things happened, in nanoseconds of the monotonic clock.

    Attributes
    ----------
    started : (programs,) int64
    free, begun, over : (reads,) int64
        When the read's thread was free for it, when it began and when it ended.
    """

    started: I64
    free: I64
    begun: I64
    over: I64


def new_times(workload: Workload) -> Times:
    """Nothing happened so far."""
    reads = (np.zeros(len(workload), np.int64) for _ in range(3))
    return Times(np.zeros(len(workload.programs), np.int64), *reads)


def due_of(workload: Workload, times: Times, is_open: bool) -> I64:
    """When each read was to begin: (reads,) int64."""
    return times.started[workload.program] + workload.due_ns if is_open else times.free + workload.think_ns


def drive(
    read: Callable[[int], object],
    workload: Workload,
    program: int,
    times: Times,
    is_open: bool = False,
    forgiven: tuple[type[Exception], ...] = (),
) -> None:
    """Have a program's threads do their reads, from now on to the last.

    Parameters
    ----------
    read
        Does one, by its number in the workload.
    times
        Filled in.
    is_open
        Whether a read is due when it was recorded, not a think time after the one before.
    forgiven
        What ends a read, but not the thread.
    """
    start = times.started[program] = time.monotonic_ns()

    def read_all(thread: int) -> None:
        free = start
        for number in range(*workload.thread_first[thread : thread + 2]):
            times.free[number] = free
            sleep_until(int(start + workload.due_ns[number] if is_open else free + workload.think_ns[number]))
            times.begun[number] = time.monotonic_ns()
            with contextlib.suppress(*forgiven):
                read(number)
            free = times.over[number] = time.monotonic_ns()

    threads = range(*workload.program_first[program : program + 2])
    with ThreadPoolExecutor(max(len(threads), 1)) as pool:
        list(pool.map(read_all, threads))


def sleep_until(deadline: int) -> None:
    """Return at a time of the monotonic clock."""
    left = deadline - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)
