"""Under which circumstances a workload is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from storage.backend import Link
from storage.errors import ConfigError
from storage.plan import PLANS, Amplify, Batches, plan_options
from workbench import policy
from workbench.policy import EvictionPolicy, amplify, prefetch
from workbench.policy.prefetch import Bound, Known, PrefetchPolicy
from workbench.replay._cpu import Cpu
from workbench.replay._workload import Workload

__all__ = ["LOOPS", "PREFETCH", "Settings", "amplify_of", "bind_prefetch", "prefetch_rows"]

LOOPS = ("closed", "open")
PREFETCH = prefetch.names()
"""Prefetch policies by name."""


@dataclass(frozen=True)
class Settings:
    """A cache, a link and a CPU.

    Attributes
    ----------
    plan
        ``exact`` or ``reference``; see `storage.plan`.
    amplify_io
        Bytes of the blob, from a request's first chunk on, that are fetched along; or a policy, or the name of
        one, see `workbench.policy.amplify`.
    capacity
        Uncompressed bytes that the cache may hold; None for no bound.
    watermarks
        The low and the high one, in bytes, by default the capacity both; see `storage.plan.new_state`.
    eviction
        A name that `workbench.policy.get` knows, or a policy.
    prefetch
        Chunk rows to fetch in the background from the start, in that order, or the requests that
        `storage.plan.plan_prefetch` makes of an image's wishes; or a policy, or the name of one, see
        `workbench.policy.prefetch`.
    prefetch_workers
        How many fetch them, in each client.
    prefetch_batch
        Bytes up to which neighbours in that list are fetched with one request; by default as those of users.
    prefetch_bandwidth
        Bytes a second that they may ask for, 0 for no limit; see `storage.plan.new_budget`.
    link
        A `storage.backend.Link`.
    cpu
        See `Cpu`, and `calibrate`, which takes it from a live run.
    loop
        ``closed``: a thread's next read waits for its last, plus think time. ``open``: it is due at the time
        that was recorded, begins then or when its thread is free, and takes as long as since it was due.
    warm_up
        Reads, in the order in which they begin, of which nothing is counted in totals.
    """

    plan: str = "exact"
    amplify_io: int | str | Amplify = 1 << 20
    capacity: int | None = None
    eviction: str | EvictionPolicy = "none"
    watermarks: tuple[int, int] | None = None
    prefetch: str | Sequence[int] | Batches | PrefetchPolicy | None = None
    prefetch_workers: int = 1
    prefetch_batch: int | None = None
    prefetch_bandwidth: int = 0
    link: Link = field(default_factory=Link)
    cpu: Cpu = field(default_factory=Cpu)
    loop: str = "closed"
    warm_up: int = 0

    def __post_init__(self) -> None:
        for name, known in (("plan", PLANS), ("loop", LOOPS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"no {name} {getattr(self, name)!r}; there are {', '.join(known)}", field=name)
        for name in ("amplify_io", "prefetch_workers", "prefetch_batch", "prefetch_bandwidth", "capacity", "warm_up"):
            value = getattr(self, name) or 0
            if isinstance(value, int) and value < 0:
                raise ConfigError("cannot be negative", field=name)

    @property
    def policy(self) -> EvictionPolicy:
        """The policy itself."""
        chosen = policy.get(self.eviction) if isinstance(self.eviction, str) else self.eviction
        if chosen.offline:
            raise ConfigError(f"policy {chosen.name} knows the future, which time would change", field="eviction")
        return chosen


def amplify_of(settings: Settings, workload: Workload) -> int | Amplify:
    """How far requests of a workload are widened.

    Raises
    ------
    ConfigError
        If there is no policy of that name.
    """
    if isinstance(settings.amplify_io, str):
        return amplify.get(settings.amplify_io, workload.touched, workload.layout)
    return settings.amplify_io


def bind_prefetch(settings: Settings, workload: Workload) -> Bound:
    """What a prefetch setting means for a workload.

    Raises
    ------
    ConfigError
        If there is no prefetch of that name, no such row, or it needs an image and there is none.
    """
    chosen = settings.prefetch
    if isinstance(chosen, str):
        chosen = prefetch.get(chosen)
    elif not isinstance(chosen, PrefetchPolicy):
        chosen = prefetch.rows([] if chosen is None else chosen)
    options = plan_options(settings.plan, amplify_of(settings, workload), workload.version, settings.prefetch_batch)
    return chosen.bind(Known(workload.layout, options, workload.image, workload))


def prefetch_rows(
    chosen: str | Sequence[int] | Batches | PrefetchPolicy | None, workload: Workload
) -> npt.NDArray[np.int64]:
    """The chunk rows that a prefetch setting has fetched from the start; see `bind_prefetch`."""
    bound = bind_prefetch(Settings(prefetch=chosen), workload)
    return bound.rows.rows if isinstance(bound.rows, Batches) else bound.rows
