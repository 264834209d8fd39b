"""What prefetch was good for, from the events of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pandas as pd  # late where it is used: a third of a second that reading an image can do without

__all__ = ["Prefetched", "prefetched"]

_ARRIVED = {"prefetch": 0, "demand": 1, "amplify": 2, "refetch": 3}
_USED, _WAITED = 4, 5


@dataclass(frozen=True)
class Prefetched:
    """What prefetch was good for.

    A *stay* of a chunk begins when it is fetched and ends when it is evicted, or with the run. Its
    *use* is the first user read that gets bytes of it: from the fetch itself, as a hit, or as a
    delayed hit. Chunks that had been in the cache before the run, and those that were fetched along
    with others (amplified), are nobody's merit here.

    Attributes
    ----------
    chunks
        Stays that prefetch began.
    used
        Those of them that were used.
    late
        Those used whose first reader had to wait for the prefetch to arrive.
    demanded
        Chunks that users had to fetch themselves.
    late_ns
        Nanoseconds that those first readers waited, in total.
    bytes
        Bytes that prefetch received, as they are stored.
    wasted_bytes
        Those of stays that were never used, and of chunks that found no room.
    """

    chunks: int
    used: int
    late: int
    demanded: int
    late_ns: int
    bytes: int
    wasted_bytes: int

    @property
    def accuracy(self) -> float:
        """Share of the prefetched chunks that were used: ``used / chunks``; 1 if there were none."""
        return self.used / self.chunks if self.chunks else 1.0

    @property
    def coverage(self) -> float:
        """Share of what users would have fetched that was prefetched: ``used / (used + demanded)``; 0 of nothing."""
        wanted = self.used + self.demanded
        return self.used / wanted if wanted else 0.0

    @property
    def lateness(self) -> float:
        """Share of the used chunks that came too late: ``late / used``; 0 if there were none."""
        return self.late / self.used if self.used else 0.0

    def _repr_html_(self) -> str:
        import pandas as pd

        ratios = {name: getattr(self, name) for name in ("accuracy", "coverage", "lateness")}
        return pd.Series(asdict(self) | ratios, name="prefetch").to_frame().to_html()


def prefetched(events: pa.Table) -> Prefetched:
    """Follow each chunk from fetch to eviction.

    Parameters
    ----------
    events
        Of one run, in the schema `storage.events.EVENTS`.
    """
    what = _what_happened(events).sort_values(["chunk", "seq"], kind="stable")
    begins = what["code"].isin(_ARRIVED.values())
    stay = begins.cumsum().where(begins.groupby(what["chunk"]).cumsum() > 0, 0)  # 0: was there before the run
    fetch = what[begins].set_index(stay[begins])
    uses = what[(~begins) & (stay > 0)]
    first = uses.groupby(stay[uses.index]).first().reindex(fetch.index)
    ahead = fetch["code"] == _ARRIVED["prefetch"]
    used = ahead & first["code"].notna()
    late = used & (first["code"] == _WAITED)
    return Prefetched(
        chunks=int(ahead.sum()),
        used=int(used.sum()),
        late=int(late.sum()),
        demanded=int((fetch["code"] == _ARRIVED["demand"]).sum()),
        late_ns=int(first["value"][late].sum()),
        bytes=int(fetch["value"][ahead].sum()),
        wasted_bytes=int(fetch["value"][ahead & ~used].sum()),
    )


def _what_happened(events: pa.Table) -> pd.DataFrame:
    """Fetches and uses of chunks as rows of `seq`, `chunk`, `code`, and `value`: bytes, or nanoseconds waited."""
    import pandas as pd

    fetches = _rows(events, "fetch", ["seq", "chunk", "cause", "length"])
    fetches = fetches[(fetches["chunk"] >= 0) & fetches["cause"].isin(_ARRIVED)]
    waits = _rows(events, "wait", ["seq", "chunk", "dur_ns"])
    hits = _rows(events, "hit", ["seq", "chunk", "chunks"])
    counts = hits["chunks"].to_numpy(np.int64)
    return pd.concat(
        [
            _frame(fetches["seq"], fetches["chunk"], fetches["cause"].map(_ARRIVED), fetches["length"]),
            _frame(waits["seq"], waits["chunk"], _WAITED, waits["dur_ns"]),
            _frame(np.repeat(hits["seq"], counts), _spread(hits["chunk"].to_numpy(), counts), _USED, 0),
        ],
        ignore_index=True,
    )


def _rows(events: pa.Table, kind: str, columns: list[str]) -> pd.DataFrame:
    return events.filter(pc.equal(events["kind"], kind)).select(columns).to_pandas()


def _frame(seq: object, chunk: object, code: object, value: object) -> pd.DataFrame:
    import pandas as pd

    columns = {"seq": seq, "chunk": chunk, "code": code, "value": value}
    return pd.DataFrame({name: getattr(column, "values", column) for name, column in columns.items()}).astype(np.int64)


def _spread(first: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The chunks of hits: `counts` from `first` on each."""
    ends = np.cumsum(counts)
    return np.arange(int(counts.sum())) + np.repeat(first - (ends - counts), counts)
