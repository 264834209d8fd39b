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
from storage.plan import ABSENT, READY, Decider

__all__ = ["NOTES", "read_at_once"]

# So many hits are noted before the policy is told of them, if nothing is decided before: as many as make what telling
# costs besides, all that is looked at being out of the processor's caches, less than a hundredth of a read of 4 KiB.
NOTES = 4096


def read_at_once(
    decider: Decider,
    fds: Sequence[int],
    tell: Callable[[], None],
    new_read_id: Callable[[], int],
    log: Log,
) -> tuple[ReadAtOnce, Callable[[], None]]:
    """Make the function that reads so, and the one that ends it.

    Victims are counted before the first of them is punched out: who finds as many after a read as before it has not
    read of a hole. The hit is noted for the policy, which learns of it before it next decides, so there is no need of
    the lock. What is read must not have to be verified.

    Parameters
    ----------
    decider
        Who knows what is ready, and where hits are noted, and counted by that.
    fds
        The cache files. As `Descriptor`, they stay open while they are read.
    tell
        Has the policy told of what is noted.
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
    noted, note, most = decider.noted, decider.noted.append, NOTES
    status, blobs, starts = decider.state.status, decider.layout.blob, decider.layout.offset

    def read(
        rows: Sequence[int],
        offsets: Sequence[int],
        lengths: Sequence[int],
        buffers: Sequence[Buffer],
        read_id: int | None = None,
    ) -> int:
        files, evictions = fds, decider.evictions  # before the status, which `stop` and who evicts change otherwise
        if len(rows) != 1 or len(buffers) != 1 or status[row := rows[0]] != ready:
            return -1
        length = lengths[0]
        if len(buffers[0]) != length:
            return -1
        start = now() if log_hit else 0
        blob = blobs[row]
        if preadv(files[blob], buffers, starts[row] + offsets[0]) != length or decider.evictions != evictions:
            return -1
        note(row)
        if len(noted) >= most:
            tell()
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
