"""What no prefetch and no cache can beat: a lower bound on the time to the last read.

Take a thread's reads in order. When its k-th read ends, every chunk that it and the reads
before it need has come over the link once, however it was asked for, and was decoded; so it
ends no sooner than one round trip, the time that those bytes take at the link's full bandwidth,
and the work on the last of them. Nor sooner than the read before it ended, plus its think
time, plus the least that serving it costs. Both hold whatever is prefetched, amplified, evicted
or shared, for they count nothing twice and nothing that could overlap. The programs after a
client's first may find everything in the cache: of those only thinking and serving is counted.
In an open loop a read ends no sooner than it is due, plus the least that serving it costs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.replay._settings import Settings
from workbench.replay._workload import Workload

__all__ = ["lower_bound"]

I64 = npt.NDArray[np.int64]
_SECOND = 1_000_000_000
_MIB_SHIFT = 20


def lower_bound(workload: Workload, settings: Settings) -> I64:
    """Nanoseconds from each program's start to the end of its last read, at least: (programs,) int64.

    Only workload, link, CPU and loop count, so it bounds every eviction, capacity, amplification and prefetch.
    Jitter, slow start, spacing and waiting for a connection only make it later; a read that fails may end it sooner.
    """
    ends, firsts = np.zeros(len(workload.programs), np.int64), set(workload.client_first[:-1].tolist())
    for program in range(len(ends)):
        for thread in range(*workload.program_first[program : program + 2]):
            end = _thread_ends(workload, settings, thread, program in firsts)
            ends[program] = max(ends[program], end)
    return ends


def _thread_ends(workload: Workload, settings: Settings, thread: int, cold: bool) -> int:
    part = slice(*workload.thread_first[thread : thread + 2])
    if part.start == part.stop:
        return 0
    cost = _least_cost(workload, settings, part)
    steps, known = cost + workload.think_ns[part], np.zeros(len(cost), np.int64)
    if settings.loop == "open":
        steps, known = cost, workload.due_ns[part] + cost
    if cold:
        known = np.maximum(known, _arrival(workload, settings, part))
    # The largest of all ways to the last read: from one that is known, by the steps after it.
    total = np.cumsum(steps)
    return int(total[-1] + max(0, int(np.max(known - total))))


def _least_cost(workload: Workload, settings: Settings, part: slice) -> I64:
    """Serving a read: from the cache, maybe chunk by chunk, or out of a request of its own, whichever is less."""
    cpu = settings.cpu
    copied = np.cumsum(np.append(0, workload.segments.length * cpu.hit_ns_per_mib >> _MIB_SHIFT))
    hit = cpu.hit_ns + np.diff(copied[workload.first])[part]
    return np.where(np.diff(workload.first)[part] > 0, np.minimum(hit, cpu.fetch_ns), cpu.hit_ns)


def _arrival(workload: Workload, settings: Settings, part: slice) -> I64:
    """When all chunks that a thread's reads so far need can have come and been decoded."""
    link, cpu, layout = settings.link, settings.cpu, workload.layout
    begin, end = workload.first[part.start], workload.first[part.stop]
    chunks = workload.segments.chunk[begin:end]
    _, index = np.unique(layout.unit[chunks], return_index=True)  # chunks of a unit come together
    new = np.zeros(len(chunks), np.int64)
    new[index] = (layout.end - layout.start)[chunks[index]]
    new, least = np.cumsum(new), np.minimum.accumulate(layout.size[chunks])
    last = workload.first[part.start + 1 : part.stop + 1] - begin - 1
    came = np.where(last >= 0, np.append(new, 0)[last], 0)
    decode = cpu.decode_ns_per_mib * np.where(last >= 0, np.append(least, 0)[last], 0)
    speed = min(link.bandwidth, link.connections * (link.connection_bandwidth or link.bandwidth))
    whole, rest = np.divmod(came, speed)
    flow = whole * _SECOND - (-rest * _SECOND // speed)
    return np.where(came > 0, link.rtt_ns + link.late[0] + flow + cpu.fetch_ns + (decode >> _MIB_SHIFT), 0)
