"""A workload run for real and replayed, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from storage.backend import BlobBackend
from storage.image import open_image
from storage.progress import progress_bar
from workbench.replay._cpu import calibrate
from workbench.replay._decisions import decisions
from workbench.replay._fit import fit
from workbench.replay._jitter import jittered
from workbench.replay._live import Live, laid_over, run_live
from workbench.replay._result import Result
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._workload import Workload

__all__ = ["Validation", "validate"]

_ASKED = ("bytes_hit", "bytes_waited", "bytes_fetched")
_SPENT = ("rtt_ns", "bandwidth_ns", "waiting_ns", "decode_ns", "think_ns")
_WHOLE = {
    "requests": "requests",
    "bytes_received": "bytes_received",
    **dict.fromkeys(_ASKED, "bytes_asked"),
    "bytes_evicted": "bytes_asked",
    "time_to_last_read_ns": "time_to_last_read_ns",
    **dict.fromkeys(_SPENT, "spent_ns"),
    "latency_ns": "latency_ns",
}
"""By measure, of what its difference is a share: a part is held against the sum of the parts."""
_COLUMNS = ["live", "replayed", "off", "least", "most", "outside"]
_REPLAYS = 20


@dataclass(frozen=True)
class Validation:
    """Medians of live runs and of their replay, side by side.

    Attributes
    ----------
    table
        By measure: live, replayed, and by how much the replay is off. Of requests, bytes received and time to the
        last read that is a share of the live value; parts of the bytes asked for, and of the seconds that all
        threads spent (round trips, bandwidth, waiting, decoding, thinking), are off by a share of their sum. In an
        open loop there is how long all reads took since they were due, too. Then the least and the most of all
        replays, and by how much the live value lies outside of that.
    runs, replays
        The same measures of each run; and of each replay, of which all but the first are of a machine that wakes
        threads as late as the live one did: where a millisecond decides about more than itself they differ.
    settings
        What was replayed, with the fitted processor and link.
    identical
        Whether in every run each client did what it did in the replay, row for row: see `decisions`. So it is to be
        with one reader a client, and no prefetch.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    replays: pd.DataFrame
    settings: Settings
    identical: bool

    def agrees(self, within: float = 0.05) -> bool:
        """Whether no measure is off by more."""
        return bool((self.table["off"].abs() <= within).all())

    def is_in_range(self, within: float = 0.05) -> bool:
        """Whether no measure lies outside of those of all replays by more."""
        return bool((self.table["outside"].abs() <= within).all())

    @property
    def worst(self) -> str:
        """The measure that is off by most."""
        return str(self.table["off"].abs().idxmax())

    def __repr__(self) -> str:
        return self._told().to_string()

    def _repr_html_(self) -> str:
        return self._told().to_html()

    def _told(self) -> pd.DataFrame:
        shares = self.table[["off", "outside"]].map("{:+.1%}".format)
        return self.table.map("{:,.0f}".format).assign(**shares)[_COLUMNS]


def validate(
    image: str | Path,
    trace: pa.Table | Workload,
    settings: Settings,
    *,
    backend: BlobBackend | None = None,
    fitted_on: Settings | None = None,
    runs: int = 5,
    progress: bool = True,
) -> Validation:
    """Run a workload live, cold each time, and replay it; the costs come from a run under other settings.

    Parameters
    ----------
    image
        A folder with bootstrap and blobs.
    trace
        Reads, in the schema `workbench.trace.READS`: who reads what, and how long he thinks in between; or a workload
        over that image, made by `fleet` or `together`, too.
    settings
        Of both. The live link is shaped as `settings.link` says. A warm-up counts, too.
    backend
        Where blobs come from instead, a real registry, say: what lies before it is fitted along with the processor,
        and `settings.link` gives only how many connections there are.
    fitted_on
        Settings of the run that the processor, and a real link, is fitted to; by default `settings`.
    runs
        How many.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    StorageError
        What opening the image or a read raises.
    """
    workload = laid_over(trace, open_image(image))
    settings = replace(settings, warm_up=0)
    lives: list[Live] = []
    with progress_bar(progress, runs + 1, "validate", "run") as step:
        known = fitted(run_live(image, workload, fitted_on or settings, backend), settings, backend is not None)
        for _ in range(runs):
            step(1)
            lives.append(run_live(image, workload, settings, backend))
    late = np.concatenate([live.late_ns for live in lives])
    others = jittered(workload, known, late, backend is not None, _REPLAYS)
    return compared(lives, replay(workload, None, known, record=True), others)


def fitted(live: Live, settings: Settings, real: bool) -> Settings:
    """The settings with the processor of a live run, and where that had a `real` link, with that, too."""
    cpu = calibrate(live.events)
    return replace(settings, cpu=cpu, link=fit(live.events, settings.link.connections).link if real else settings.link)


def compared(lives: Sequence[Live], result: Result, others: Iterable[Result]) -> Validation:
    """Live runs beside a replay, which was recorded, and beside others of machines that are late."""
    runs = pd.DataFrame([_live_row(live) for live in lives])
    table = pd.DataFrame({"live": {name: statistics.median(runs[name]) for name in runs}})
    table["replayed"] = pd.Series(_replayed_row(result))
    replays = pd.DataFrame([_replayed_row(one) for one in (result, *others)])
    table["least"], table["most"] = replays.min(), replays.max()
    whole = table["live"][[_WHOLE.get(name, name) for name in table.index]].clip(lower=1).to_numpy()
    table["off"] = (table["replayed"] - table["live"]) / whole
    table["outside"] = (table["live"].clip(table["least"], table["most"]) - table["live"]) / whole
    decided = [decisions(result.events(client)) for client in range(len(result.clients))]
    identical = all([decisions(events) for events in live.clients] == decided for live in lives)
    kept = [name for name in _WHOLE if name != "latency_ns" or result.settings.loop == "open"]
    return Validation(table.loc[kept, _COLUMNS], runs[kept], replays[kept], result.settings, identical)


def _with_sums(row: Mapping[str, int]) -> dict[str, int]:
    sums = {"bytes_asked": sum(row[name] for name in _ASKED), "spent_ns": sum(row[name] for name in _SPENT)}
    return {**row, **sums}


def _replayed_row(result: Result) -> dict[str, int]:
    names = [name for name in _WHOLE if name in result.totals]
    sums = {name: pc.sum(result.reads[name]).as_py() or 0 for name in _SPENT}
    sums["latency_ns"] = pc.sum(result.reads["dur_ns"]).as_py() or 0
    return _with_sums({name: result.totals[name] for name in names} | sums)


def _live_row(live: Live) -> dict[str, int]:
    """What a replay's totals say, of events: without what came before the first program."""
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
        "think_ns": pc.sum(live.reads["think_ns"]).as_py() or 0,
        "latency_ns": pc.sum(live.reads["dur_ns"]).as_py() or 0,
    }
    return _with_sums(row)


def _fetches(frame: pd.DataFrame) -> pd.Series:
    return frame.loc[(frame["kind"] == "fetch") & (frame["cause"] != "meta"), "fetch_id"]
