"""What a machine that wakes threads late makes of a replay: some counts hang on a millisecond."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from workbench.replay._result import Result
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._workload import Workload

__all__ = ["jittered"]

_QUANTILES = np.linspace(0, 1, 17)


def jittered(
    workload: Workload, settings: Settings, late: npt.NDArray[np.int64], is_drawn: bool, times: int
) -> Iterator[Result]:
    """Replays in which threads are woken late, by chance.

    Parameters
    ----------
    late : (n,) int64
        Nanoseconds, of which one is drawn for each read that is thought about or waited for; for the prefetch workers
        of each replay, which look before or after the reader who wakes them; and for each request, where the link has
        nothing random of its own.
    is_drawn
        Whether what the link has of its own was other in each live run, so that it is to be in each replay.
    times
        How many.
    """
    link = settings.link
    if link.late[-1] == 0:
        link, is_drawn = replace(link, jitter_ns=np.quantile(late, _QUANTILES).astype(np.int64).tolist()), True
    for seed in range(1, times + 1):
        rng = np.random.default_rng(seed)
        later = rng.choice(late, len(workload))
        wake = int(rng.choice(late)) + int(rng.choice((0, settings.cpu.hit_ns)))
        drawn = replace(workload, think_ns=workload.think_ns + later, due_ns=workload.due_ns + later)
        machine = replace(settings, cpu=replace(settings.cpu, wake_ns=wake))
        yield replay(drawn, None, replace(machine, link=replace(link, seed=seed) if is_drawn else link))
