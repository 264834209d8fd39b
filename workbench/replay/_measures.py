"""What a live run and a replay are compared by."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.replay._live import Live
from workbench.replay._result import Result

__all__ = ["COLUMNS", "MEASURES", "of_live", "of_replay", "side_by_side"]

COLUMNS = ["live", "replayed", "off", "least", "most", "outside"]
_ASKED = ("bytes_hit", "bytes_waited", "bytes_fetched")
_SPENT = ("rtt_ns", "bandwidth_ns", "waiting_ns", "decode_ns", "think_ns")
MEASURES = {
    "requests": "requests",
    "bytes_received": "bytes_received",
    **dict.fromkeys(_ASKED, "bytes_asked"),
    "bytes_evicted": "bytes_asked",
    "time_to_last_read_ns": "time_to_last_read_ns",
    **dict.fromkeys(_SPENT, "spent_ns"),
    "latency_ns": "latency_ns",
}
"""By measure, of what its difference is a share: a part is held against the sum of the parts."""


def side_by_side(runs: pd.DataFrame, replays: pd.DataFrame) -> pd.DataFrame:
    """Medians of live runs, the first of the replays and the range of all, by measure, as `COLUMNS`."""
    table = pd.DataFrame({"live": runs.median(), "replayed": replays.iloc[0]})
    table["least"], table["most"] = replays.min(), replays.max()
    whole = table["live"][[MEASURES.get(name, name) for name in table.index]].clip(lower=1).to_numpy()
    table["off"] = (table["replayed"] - table["live"]) / whole
    table["outside"] = (table["live"].clip(table["least"], table["most"]) - table["live"]) / whole
    return table[COLUMNS]


def _with_sums(row: Mapping[str, int]) -> dict[str, int]:
    sums = {"bytes_asked": sum(row[name] for name in _ASKED), "spent_ns": sum(row[name] for name in _SPENT)}
    return {**row, **sums}


def of_replay(result: Result) -> dict[str, int]:
    """Of a replay."""
    names = [name for name in MEASURES if name in result.totals]
    sums = {name: _sum(result.reads, name) for name in _SPENT}
    sums["latency_ns"] = _sum(result.reads, "dur_ns")
    return _with_sums({name: result.totals[name] for name in names} | sums)


def of_live(live: Live) -> dict[str, int]:
    """Of a live run's events, without those from before the first program."""
    frame = live.events.to_pandas()
    user = frame[frame["read_id"] >= 0]
    requests = frame[(frame["kind"] == "request") & (frame["fetch_id"].isin(_fetches(frame)))]
    mine = user[user["kind"] == "request"]
    given = {kind: int(user.loc[user["kind"] == kind, "user_bytes"].sum()) for kind in ("hit", "wait", "fetch")}
    rtt, waiting = int(mine["ttfb_ns"].sum()), int(user.loc[user["kind"] == "wait", "dur_ns"].sum())
    flow = int(mine["dur_ns"].sum()) - rtt
    inside = int(user.loc[user["kind"] == "read", "dur_ns"].sum())
    row = {
        "requests": len(requests),
        "bytes_received": int(requests["length"].sum()),
        "bytes_hit": given["hit"],
        "bytes_waited": given["wait"],
        "bytes_fetched": given["fetch"],
        "bytes_evicted": int(frame.loc[frame["kind"] == "evict", "length"].sum()),
        "time_to_last_read_ns": live.time_to_last_read_ns,
        "rtt_ns": rtt,
        "bandwidth_ns": flow,
        "waiting_ns": waiting,
        "decode_ns": inside - rtt - flow - waiting,
        "think_ns": _sum(live.reads, "think_ns"),
        "latency_ns": _sum(live.reads, "dur_ns"),
    }
    return _with_sums(row)


def _fetches(frame: pd.DataFrame) -> pd.Series:
    return frame.loc[(frame["kind"] == "fetch") & (frame["cause"] != "meta"), "fetch_id"]


def _sum(reads: pa.Table, name: str) -> int:
    return pc.sum(reads[name]).as_py() or 0
