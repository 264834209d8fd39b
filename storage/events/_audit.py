"""Two ledgers that must balance, whatever happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import IntegrityError

if TYPE_CHECKING:
    import pandas as pd  # late where it is used: a third of a second that reading an image can do without

__all__ = ["Ledgers", "audit"]


@dataclass(frozen=True)
class Ledgers:
    """Where bytes came from.

    Of reads that succeeded, uncompressed: ``asked = hit + waited + fetched + deduplicated``. From the
    backend, compressed: ``received`` is the sum of `by_cause`.

    Attributes
    ----------
    asked, hit, waited, fetched, deduplicated
        Bytes returned to users, and where each came from.
    received
        Bytes of all requests.
    by_cause
        The same bytes by why they were fetched.
    """

    asked: int
    hit: int
    waited: int
    fetched: int
    received: int
    by_cause: dict[str, int]
    deduplicated: int = 0

    def _repr_html_(self) -> str:
        import pandas as pd

        rows = {"asked": self.asked, "hit": self.hit, "waited": self.waited, "fetched": self.fetched}
        rows["deduplicated"] = self.deduplicated
        both = {**rows, "received": self.received, **self.by_cause}
        return pd.Series(both, name="bytes").to_frame().to_html()


def audit(events: pa.Table) -> Ledgers:
    """Prove that both ledgers of a run balance, that each read ends and each fetch has a cause.

    Raises
    ------
    IntegrityError
        If one does not; the message says which, with the read or the fetch.
    """
    reads, good = _reads(events)
    served = {kind: _by(events, kind, "read_id", "user_bytes") for kind in ("hit", "wait", "fetch", "dedup")}
    for kind, column in served.items():
        _require(column.index.isin(reads.index), f"{kind} rows of a read that never ended", column.index)
    supply = sum(column.reindex(good.index, fill_value=0) for column in served.values())
    if len(good):
        _require(supply == good, "bytes returned are not the sum of hit, waited, fetched and deduplicated", good.index)
    fetched, requested = _by(events, "fetch", "fetch_id", "length"), _by(events, "request", "fetch_id", "length")
    _require(fetched.reindex(requested.index, fill_value=0) == requested, "a request has no causes", requested.index)
    _require(fetched.index.isin(requested.index), "a fetch without a request", fetched.index)
    fetches = events.filter(pc.equal(events["kind"], "fetch"))
    if pc.any(pc.equal(fetches["cause"], "none")).as_py():
        raise IntegrityError("a fetch has no cause")
    causes = fetches.group_by("cause").aggregate([("length", "sum")]).to_pydict()
    return Ledgers(
        asked=int(good.sum()),
        hit=_total(served["hit"], good),
        waited=_total(served["wait"], good),
        fetched=_total(served["fetch"], good),
        deduplicated=_total(served["dedup"], good),
        received=int(requested.sum()),
        by_cause={str(cause): int(length) for cause, length in sorted(zip(*causes.values(), strict=True))},
    )


def _reads(events: pa.Table) -> tuple[pd.Series, pd.Series]:
    """Bytes returned by read: of all reads, and of those that succeeded."""
    rows = events.filter(pc.equal(events["kind"], "read")).select(["read_id", "user_bytes", "outcome"]).to_pandas()
    _require(~rows["read_id"].duplicated(), "a read ended twice", rows["read_id"])
    reads = rows.set_index("read_id")
    return reads["user_bytes"], reads["user_bytes"][reads["outcome"] == "ok"]


def _by(events: pa.Table, kind: str, key: str, value: str) -> pd.Series:
    """Sum of `value` by `key` over the rows of a kind that belong to one."""
    rows = events.filter(pc.and_(pc.equal(events["kind"], kind), pc.greater_equal(events[key], 0)))
    return rows.select([key, value]).to_pandas().groupby(key)[value].sum()


def _total(column: pd.Series, good: pd.Series) -> int:
    return int(column.reindex(good.index, fill_value=0).sum())


def _require(holds: object, what: str, ids: pd.Index | pd.Series) -> None:
    bad = ids.to_numpy()[~np.asarray(holds, np.bool_)]
    if len(bad):
        raise IntegrityError(what, field=ids.name, id=bad[0])
