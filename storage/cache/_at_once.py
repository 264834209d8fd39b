"""Reads that are served at once: of one ready chunk, into one buffer, by one system call.

What such a read looks at is in the cells of one function: the bytes that are copied push all else out of the
processor's caches, and every object that is looked at afterwards has to come back from memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from storage.cache._log import Log
from storage.device import Buffer, ReadAtOnce
from storage.plan import ABSENT, READY

__all__ = ["read_at_once"]


def read_at_once(
    status: Sequence[int],
    blobs: Sequence[int],
    starts: Sequence[int],
    fds: Sequence[int],
    count: Callable[[], object],
    new_read_id: Callable[[], int],
    log: Log,
) -> tuple[ReadAtOnce, Callable[[], None]]:
    """Make the function that reads so, and the one that ends it.

    What is ready has to stay so: nothing may be evicted, nor may what was read have to be verified.

    Parameters
    ----------
    status, blobs, starts
        By chunk: its status, its blob, and where it begins in the blob's cache file.
    fds
        The cache files. As `Descriptor`, they stay open while they are read.
    count
        Told of each read that was served.
    new_read_id, log
        For what is logged of it.

    Returns
    -------
    read, stop
        `read` returns how many bytes it read, or -1 where it could not at once and has done nothing. After `stop`
        it always does.
    """
    preadv, now, ready = os.preadv, time.monotonic_ns, READY
    log_hit = log.recorder.log_hit if log.recorder else None

    def read(
        rows: Sequence[int],
        offsets: Sequence[int],
        lengths: Sequence[int],
        buffers: Sequence[Buffer],
        read_id: int | None = None,
    ) -> int:
        files = fds  # before the status: `stop` changes them in the other order
        if len(rows) != 1 or len(buffers) != 1 or status[row := rows[0]] != ready:
            return -1
        length = lengths[0]
        if len(buffers[0]) != length:
            return -1
        start = now() if log_hit else 0
        blob = blobs[row]
        if preadv(files[blob], buffers, starts[row] + offsets[0]) != length:
            return -1
        count()
        if log_hit:
            if read_id is None:
                log_hit(start, new_read_id(), blob, row, length)
            else:
                log.hit(start, read_id, blob, (row,), (length,))
        return length

    def stop() -> None:
        nonlocal status, fds
        status = [ABSENT] * len(status)
        fds = ()

    return read, stop
