"""What a run cost, as a few numbers that add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.events import audit
from workbench.view._style import CAUSES, PARTS
from workbench.view._table import Columns, Run, ends, pick, reads_of

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of one run; sizes in bytes, times in nanoseconds.

    Attributes
    ----------
    name
        What the run is called.
    reads, bytes_asked
        User reads, and the bytes that they returned.
    asked
        Where those bytes came from: ``hit`` (ready in the cache), ``wait`` (in flight for somebody else), ``fetch``
        (fetched for this read). Sums to `bytes_asked`.
    requests, received
        Backend requests, and the bytes that they brought, by cause.
    chunks_fetched, bytes_decoded
        Chunks that came, and what they are uncompressed.
    evictions, bytes_evicted
        Chunks that had to go, uncompressed.
    time_to_last_read_ns
        From each program's start to the end of its last read, summed over programs.
    split
        That time by what it was spent on: ``rtt``, ``bandwidth``, ``waiting`` on a fetch in flight, ``decode`` (with
        verifying, storing and copying), ``think`` (the program's own). Follows, in each program, the thread that
        read last. Sums to `time_to_last_read_ns`.
    p50_ns, p99_ns
        Latency of reads: half, and 99 in 100, took no longer.
    """

    name: str
    reads: int
    bytes_asked: int
    asked: dict[str, int]
    requests: int
    received: dict[str, int]
    chunks_fetched: int
    bytes_decoded: int
    evictions: int
    bytes_evicted: int
    time_to_last_read_ns: int
    split: dict[str, int]
    p50_ns: int
    p99_ns: int

    @property
    def bytes_received(self) -> int:
        """Bytes that came from the backend, as they were stored there."""
        return sum(self.received.values())

    @property
    def hit_ratio(self) -> float:
        """Share of the bytes asked that was ready in the cache."""
        return self.asked["hit"] / self.bytes_asked if self.bytes_asked else 0.0

    @property
    def read_amplification(self) -> float:
        """Uncompressed bytes fetched for each byte asked."""
        return self.bytes_decoded / self.bytes_asked if self.bytes_asked else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All numbers, the derived ones too, ready for JSON."""
        derived = ("bytes_received", "hit_ratio", "read_amplification")
        return asdict(self) | {name: getattr(self, name) for name in derived}

    def __rich__(self) -> RenderableType:
        from workbench.view._terminal import screen

        return screen(self)

    def _repr_html_(self) -> str:
        from workbench.view._html import page, summary_html

        return page(summary_html(self))


def summarize(events: pa.Table, reads: pa.Table | None = None, name: str = "run") -> Summary:
    """Count one run.

    Parameters
    ----------
    events
        In the schema `storage.events.EVENTS`, of a live or a replayed run.
    reads
        Its workload, which knows the programs and when they started. Without it the think time before the first read is
        left out.
    name
        What to call the run.

    Raises
    ------
    IntegrityError
        If the ledgers do not balance.
    TraceError
        If the workload is of another run.
    """
    ledgers = audit(events)
    user, fetches, evicted = (pick(events, kind) for kind in ("read", "fetch", "evict"))
    split = _split(events, Run(name, events, reads))
    return Summary(
        name=name,
        reads=len(user["t_ns"]),
        bytes_asked=ledgers.asked,
        asked={"hit": ledgers.hit, "wait": ledgers.waited, "fetch": ledgers.fetched},
        requests=len(pick(events, "request")["t_ns"]),
        received={cause: ledgers.by_cause.get(cause, 0) for cause in CAUSES},
        chunks_fetched=int((fetches["chunk"] >= 0).sum()),
        bytes_decoded=int(pick(events, "decode")["length"].sum()),
        evictions=len(evicted["t_ns"]),
        bytes_evicted=int(evicted["length"].sum()),
        time_to_last_read_ns=sum(split.values()),
        split=split,
        p50_ns=_quantile(user["dur_ns"], 0.50),
        p99_ns=_quantile(user["dur_ns"], 0.99),
    )


def _quantile(values: npt.NDArray[np.int64], q: float) -> int:
    return int(np.quantile(values, q, method="higher")) if len(values) else 0


def _split(events: pa.Table, run: Run) -> dict[str, int]:
    reads, programs = reads_of(run)
    chosen = np.zeros(len(reads["t_ns"]), bool)
    spans = 0
    for program in range(len(programs)):
        last = _last_thread(reads, reads["program"] == program)
        spans += _span(reads, last)
        chosen |= last
    ids = reads["read_id"][chosen]
    requests, waits = (_of(pick(events, kind), ids) for kind in ("request", "wait"))
    rtt, waiting = int(requests["ttfb_ns"].sum()), int(waits["dur_ns"].sum())
    bandwidth = int(requests["dur_ns"].sum()) - rtt
    inside = int(reads["dur_ns"][chosen].sum())
    parts = (rtt, bandwidth, waiting, inside - rtt - bandwidth - waiting, spans - inside)
    return dict(zip(PARTS, parts, strict=True))


def _last_thread(reads: Columns, program: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Reads of the thread whose read ended last: with its thinking they fill the program's time."""
    if not program.any():
        return program
    ended = ends(reads)[program]
    last = int(reads["thread"][program][ended == ended.max()].min())
    return program & np.equal(reads["thread"], last)


def _span(reads: Columns, thread: npt.NDArray[np.bool_]) -> int:
    """From the program's start, which is where the thread's first thinking began, to the thread's last read."""
    if not thread.any():
        return 0
    first = int(np.flatnonzero(thread)[0])
    return int(ends(reads)[thread].max() - reads["t_ns"][first] + reads["think_ns"][first])


def _of(columns: Columns, read_ids: npt.NDArray[np.int64]) -> Columns:
    mine = np.isin(columns["read_id"], read_ids)
    return {name: column[mine] for name, column in columns.items()}
