"""What a machine that is late makes of a replay: some counts hang on a millisecond."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from workbench.replay._result import Result
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._workload import Workload

__all__ = ["jittered"]


def jittered(workload: Workload, settings: Settings, late_ns: int, is_drawn: bool, times: int) -> Iterator[Result]:
    """Replays in which reads, first bytes and prefetch workers are late by chance: in each by more, up to `late_ns`.

    Parameters
    ----------
    is_drawn
        Whether what the link has of its own was other in each live run, so that it is to be in each replay.
    times
        How many.
    """
    own = settings.link.late[-1] > 0
    for number in range(1, times + 1):
        most, rng = late_ns * number // times, np.random.default_rng(number)
        later, wake = rng.integers(0, most + 1, len(workload)), int(rng.integers(most + 1))
        drawn = replace(workload, think_ns=workload.think_ns + later, due_ns=workload.due_ns + later)
        link = settings.link if own else replace(settings.link, jitter_ns=most)
        link = replace(link, seed=number) if is_drawn or not own else link
        yield replay(drawn, None, replace(settings, link=link, cpu=replace(settings.cpu, wake_ns=wake)))
