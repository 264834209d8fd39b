"""What a replay says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from storage.errors import ConfigError
from storage.events import CAUSES, EVENTS, KINDS, OUTCOMES, Kind
from workbench.replay._bound import lower_bound
from workbench.replay._settings import Settings
from workbench.replay._tables import by_cause, by_chunk, by_read, by_request, over_time
from workbench.replay._workload import Workload, after_each_other
from workbench.replay._world import Count, Log, Request, World

__all__ = ["Result"]

I64 = npt.NDArray[np.int64]
_BY_CAUSE = ("demand", "amplify", "gap", "refetch", "prefetch")


class Result:
    """The outcome of one replay. Times are nanoseconds from the start of the first program, sizes bytes.

    Parameters
    ----------
    workload, settings
        What was replayed, and under which circumstances.
    worlds
        As the engine left them, by client.
    recorded
        Whether it kept every event.
    """

    def __init__(self, workload: Workload, settings: Settings, worlds: Sequence[World], recorded: bool) -> None:
        self.workload = workload
        self.settings = settings
        self._out = worlds[0].out
        self._count = worlds[0].count
        self._unread = sum(int(world.unread.sum()) for world in worlds)
        self._log = self._out.log[: self._count[Count.LOGGED]] if recorded else None
        self._client = worlds[0].actors.client

    @cached_property
    def reads(self) -> pa.Table:
        """By read, in the order of the workload: when it began, how long it took, and on what."""
        out, (rtt, flow) = self._out, self._on_link
        columns = {"read_id": self.workload.read_id, "start_ns": self._start, "dur_ns": out.dur, "rtt_ns": rtt}
        columns |= {"bandwidth_ns": flow, "waiting_ns": out.wait}
        columns |= {"decode_ns": out.dur - rtt - flow - out.wait - out.late, "late_ns": out.late}
        return pa.table(columns | {"think_ns": self._idle})

    @cached_property
    def requests(self) -> pa.Table:
        """By request, in the order in which they were asked; see `by_request`."""
        return by_request(self._requests, self.workload.read_id)

    @cached_property
    def chunks(self) -> pa.Table:
        """By chunk; see `by_chunk`."""
        return by_chunk(self._requests, self.workload.segments.chunk, self.workload.layout)

    @cached_property
    def causes(self) -> pa.Table:
        """By cause; see `by_cause`."""
        return by_cause(self._requests)

    @cached_property
    def timeline(self) -> pa.Table:
        """The link over time; see `over_time`."""
        return over_time(self._requests)

    @property
    def ended_ns(self) -> I64:
        """When each program's last read ended, from its start: (programs,) int64."""
        ended: I64 = self._out.ended - self._out.began
        return ended

    @cached_property
    def above_bound(self) -> float:
        """How far the time to the last read lies above what no prefetch and no cache can beat; see `lower_bound`."""
        bound = int(lower_bound(self.workload, self.settings).sum())
        return int(self.ended_ns.sum()) / bound - 1 if bound else 0.0

    @property
    def time_to_last_read_ns(self) -> int:
        """From each program's start, or the end of the warm-up, to the end of its last read, summed over programs."""
        return int(np.maximum(self._out.ended - np.maximum(self._out.began, self._count[Count.CUT]), 0).sum())

    @cached_property
    def clients(self) -> pd.DataFrame:
        """By client: when it started, and the time to its last read."""
        spent = np.concatenate([[0], np.cumsum(self.ended_ns)])
        columns = {"start_ns": self.workload.client_start}
        columns["time_to_last_read_ns"] = np.diff(spent[self.workload.client_first])
        return pd.DataFrame(columns).rename_axis("client").reset_index()

    @cached_property
    def split(self) -> dict[str, int]:
        """That time by what it was spent on, following in each program the thread whose read ended last.

        Of a warm-up nothing is left out. Thinking, or waiting until a read is due, is all that its reads do not
        account for.
        """
        chosen = np.concatenate([np.arange(0), *(self._last_thread(p) for p in range(len(self._out.began)))])
        out, (rtt, flow) = self._out, self._on_link
        parts = {
            "rtt": int(rtt[chosen].sum()),
            "bandwidth": int(flow[chosen].sum()),
            "waiting": int(out.wait[chosen].sum()),
        }
        late, inside = int(out.late[chosen].sum()), int(out.dur[chosen].sum())
        parts["decode"] = inside - late - sum(parts.values())
        return parts | {"think": int(self.ended_ns.sum()) - inside + late}

    @cached_property
    def totals(self) -> dict[str, Any]:
        """The numbers that tables are made of."""
        count, out = self._count, self._out
        prefetched, used, late = (int(count[entry]) for entry in (Count.PREFETCHED, Count.USED, Count.LATE))
        missed, counted = int(count[Count.CHUNKS]) - prefetched, out.dur[self._start >= count[Count.CUT]]
        asked = int(count[Count.HIT] + count[Count.WAITED] + count[Count.FETCHED])
        by_cause = {cause: int(self._requests[:, getattr(Request, cause.upper())].sum()) for cause in _BY_CAUSE}
        return {
            "reads": len(self.workload),
            "bytes_asked": asked,
            "bytes_hit": int(count[Count.HIT]),
            "bytes_waited": int(count[Count.WAITED]),
            "bytes_fetched": int(count[Count.FETCHED]),
            "hits": int(count[Count.HITS]),
            "waits": int(count[Count.WAITS]),
            "hit_ratio": int(count[Count.HIT]) / asked if asked else 0.0,
            "requests": len(self._requests),
            "bytes_received": sum(by_cause.values()),
            "bytes_by_cause": by_cause,
            "fetched": int(count[Count.CHUNKS]),
            "bytes_decoded": int(count[Count.DECODED]),
            "failures": int(count[Count.FAILURES]),
            "retries": int(count[Count.RETRIES]),
            "evictions": int(count[Count.EVICTIONS]),
            "bytes_evicted": int(count[Count.EVICTED]),
            "wasted_prefetch_bytes": int(count[Count.WASTED]) + self._unread,
            "time_to_last_read_ns": self.time_to_last_read_ns,
            "prefetch_accuracy": used / prefetched if prefetched else 0.0,
            "prefetch_coverage": used / (used + missed) if used else 0.0,
            "prefetch_lateness": min(late / used, 1.0) if used else 0.0,
            "prefetch_late_ns": int(count[Count.LATE_NS]),
            "p50_ns": _quantile(counted, 0.50),
            "p99_ns": _quantile(counted, 0.99),
        }

    def events(self, client: int | None = None) -> pa.Table:
        """Everything that happened, or what one client did, in the schema of a live run's events.

        Raises
        ------
        ConfigError
            If it was replayed without ``record=True``.
        """
        if self._log is None:
            raise ConfigError("a replay keeps its events only with record=True", field="record")
        log, ids = self._log.copy(), np.append(self.workload.read_id, -1)
        if client is not None:
            log = log[self._client[log[:, Log.WORKER]] == client]
        read = log[:, Log.KIND] == Kind.READ
        rows = log[read, Log.READ]
        log[read, Log.OFFSET], log[read, Log.LENGTH] = self.workload.offset[rows], self.workload.length[rows]
        log[:, Log.READ] = ids[log[:, Log.READ]]
        columns = [_column(log[:, at], field) for at, field in enumerate(EVENTS)]
        return pa.table(columns, schema=EVENTS)

    @property
    def _idle(self) -> I64:
        """How long each read's thread did nothing before: it thought, or waited until the read was due."""
        work = self.workload
        if self.settings.loop == "closed":
            return work.think_ns
        ended, firsts = self._start + self._out.dur, work.thread_first[:-1]
        free = np.roll(ended, 1)
        free[firsts] = self._out.began[work.program[firsts]]
        idle: I64 = self._start + self._out.late - free
        return idle

    @property
    def _requests(self) -> I64:
        """Those after the warm-up."""
        rows: I64 = self._out.requests[self._count[Count.CUT_REQUEST] : self._count[Count.REQUESTS]]
        return rows

    @cached_property
    def _start(self) -> I64:
        """When each read began, or was due."""
        work, dur, inside = self.workload, self._out.dur, self.workload.due_ns
        if self.settings.loop == "closed":
            inside = after_each_other(work.think_ns + dur, work.thread_first) - dur
        started: I64 = self._out.began[work.program] + inside
        return started

    @cached_property
    def _on_link(self) -> tuple[I64, I64]:
        """What each read waited for first bytes, and while bytes flowed; the warm-up too."""
        return by_read(self._out.requests[: self._count[Count.REQUESTS]], len(self.workload))

    def _last_thread(self, program: int) -> I64:
        """Reads of the thread of a program that read last."""
        threads = np.arange(*self.workload.program_first[program : program + 2])
        last = self.workload.thread_first[threads + 1] - 1
        thread = threads[np.argmax(self._start[last] + self._out.dur[last])]
        return np.arange(*self.workload.thread_first[thread : thread + 2])

    def __repr__(self) -> str:
        totals = self.totals
        return (
            f"Result({totals['time_to_last_read_ns'] / 1e9:.3f} s to last read, {totals['requests']:,} requests, "
            f"{totals['bytes_received'] / 1e6:.1f} MB, hit ratio {totals['hit_ratio']:.3f}; "
            f"at most {100 * self.above_bound:.0f} % above what any prefetch could reach)"
        )

    def _repr_html_(self) -> str:
        split = {f"{name} ms": f"{ns / 1e6:,.1f}" for name, ns in self.split.items()}
        shown = {name: value for name, value in self.totals.items() if name != "bytes_by_cause"}
        return pd.Series({**shown, **self.totals["bytes_by_cause"], **split}, name="replay").to_frame().to_html()


def _quantile(values: I64, q: float) -> int:
    return int(np.quantile(values, q, method="higher")) if len(values) else 0


_WORDS = {"kind": KINDS, "cause": CAUSES, "outcome": OUTCOMES}


def _column(values: I64, field: pa.Field) -> pa.Array:
    if field.name in _WORDS:
        return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), pa.array(_WORDS[field.name]))
    return pa.array(np.ascontiguousarray(values)).cast(field.type)
