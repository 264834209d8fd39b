"""A workload run for real and replayed, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from storage.backend import BlobBackend
from storage.image import open_image
from storage.progress import progress_bar
from workbench.replay._cpu import calibrate
from workbench.replay._decisions import decisions
from workbench.replay._fit import fit
from workbench.replay._jitter import jittered
from workbench.replay._live import Live, laid_over, run_live
from workbench.replay._measures import COLUMNS, MEASURES, of_live, of_replay, side_by_side
from workbench.replay._result import Result
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._workload import Workload

__all__ = ["Validation", "validate"]

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
        return self.table.map("{:,.0f}".format).assign(**shares)[COLUMNS]


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
    """The settings with the processor of a live run, and where that had a `real` link, with that, too.

    Python runs one thread at a time: a reader who wakes a worker mostly goes on to its own next look first.
    """
    cpu = calibrate(live.events)
    cpu = replace(cpu, wake_ns=cpu.hit_ns + int(np.median(live.late_ns)))
    return replace(settings, cpu=cpu, link=fit(live.events, settings.link.connections).link if real else settings.link)


def compared(lives: Sequence[Live], result: Result, others: Iterable[Result]) -> Validation:
    """Live runs beside a replay, which was recorded, and beside others of machines that are late."""
    runs = pd.DataFrame([of_live(live) for live in lives])
    replays = pd.DataFrame([of_replay(one) for one in (result, *others)])
    decided = [decisions(result.events(client)) for client in range(len(result.clients))]
    identical = all([decisions(events) for events in live.clients] == decided for live in lives)
    kept = [name for name in MEASURES if name != "latency_ns" or result.settings.loop == "open"]
    return Validation(side_by_side(runs, replays).loc[kept], runs[kept], replays[kept], result.settings, identical)
