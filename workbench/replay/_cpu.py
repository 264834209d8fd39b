"""What the reader's own work costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import ConfigError

__all__ = ["Cpu", "calibrate"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Cpu:
    """Costs in whole nanoseconds; bytes are uncompressed. What overlaps is not slowed down by it.

    Attributes
    ----------
    hit_ns, hit_ns_per_mib
        Of serving bytes from the cache, for each run of ready chunks.
    fetch_ns, decode_ns_per_mib
        Of handling a request's answer, and of decoding, verifying and storing its chunks.
    wake_ns
        How long a prefetch worker that has nothing to do, or stepped back for users, takes to look again.
    """

    hit_ns: int = 20_000
    hit_ns_per_mib: int = 100_000
    fetch_ns: int = 300_000
    decode_ns_per_mib: int = 2_000_000
    wake_ns: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError("work cannot take less than no time", field=name)


def calibrate(events: pa.Table) -> Cpu:
    """Costs as a live run had them; what its events give no evidence of keeps its default.

    Each cost is a median, so that a pause of the machine does not count. The time that a
    read spent neither on requests nor on waits is its work: of reads served from the cache alone it
    gives `hit_ns`, of reads that fetched `fetch_ns`, less what decoding and storing took.

    Parameters
    ----------
    events
        In the schema `storage.events.EVENTS`.
    """
    reads = _work_of_reads(events)
    fallback = Cpu()
    served = reads[(reads["request"] == 0) & (reads["waits"] == 0) & (reads["length"] > 0)]
    hit_ns, per_mib = _line(served["length"].to_numpy(), served["work"].to_numpy(), fallback.hit_ns_per_mib)
    fetched = reads[(reads["request"] > 0) & (reads["waits"] == 0)]
    decode_ns, size = int(reads["store"].sum()), int(reads["decoded"].sum())
    rest = (fetched["work"] - fetched["store"]) / fetched["request"]
    return Cpu(
        hit_ns=hit_ns if len(served) else fallback.hit_ns,
        hit_ns_per_mib=per_mib if len(served) else fallback.hit_ns_per_mib,
        fetch_ns=max(int(rest.median()), 0) if len(fetched) else fallback.fetch_ns,
        decode_ns_per_mib=decode_ns * _MIB // size if size else fallback.decode_ns_per_mib,
    )


def _work_of_reads(events: pa.Table) -> pd.DataFrame:
    """By read: bytes, count of requests and waits, and nanoseconds of work, of which decoding and storing."""
    columns = ["kind", "read_id", "dur_ns", "length", "user_bytes"]
    mine = events.filter(pc.greater_equal(events["read_id"], 0)).select(columns).to_pandas()
    by_kind = {kind: rows.groupby("read_id") for kind, rows in mine.groupby("kind", observed=True)}
    reads = mine[mine["kind"] == "read"].set_index("read_id")

    def total(kind: str, column: str) -> pd.Series:
        if kind not in by_kind:
            return pd.Series(0, reads.index)
        groups = by_kind[kind]
        series = groups.size() if column == "" else groups[column].sum()
        return series.reindex(reads.index, fill_value=0)

    store = total("decode", "dur_ns") + total("persist", "dur_ns")
    work = reads["dur_ns"] - total("request", "dur_ns") - total("wait", "dur_ns")
    return pd.DataFrame(
        {
            "length": reads["user_bytes"],
            "request": total("request", ""),
            "waits": total("wait", ""),
            "work": work,
            "store": store,
            "decoded": total("decode", "length"),
        }
    )


def _line(size: npt.NDArray[np.int64], work: npt.NDArray[np.int64], per_mib: int) -> tuple[int, int]:
    """Fixed cost and cost for each MiB: the slope between small and large reads, where there are both."""
    if not len(size):
        return 0, per_mib
    small, large = size <= np.quantile(size, 0.25), size >= np.quantile(size, 0.75)
    run = np.median(size[large]) - np.median(size[small])
    if run >= 4096:
        per_mib = max(int((np.median(work[large]) - np.median(work[small])) * _MIB / run), 0)
    return max(int(np.median(work - size * per_mib // _MIB)), 0), per_mib
