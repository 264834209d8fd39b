"""Under which circumstances a workload is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.backend import Link
from storage.errors import ConfigError
from storage.plan import PLANS, Amplify
from workbench import policy
from workbench.policy import EvictionPolicy, prefetch
from workbench.policy.prefetch import Bound, PrefetchPolicy
from workbench.replay._cpu import Cpu
from workbench.replay._workload import Workload

__all__ = ["LOOPS", "Settings", "bind_prefetch"]

LOOPS = ("closed", "open")


@dataclass(frozen=True)
class Settings:
    """A cache, a link and a CPU.

    Attributes
    ----------
    plan
        ``exact`` or ``reference``; see `storage.plan`.
    amplify_io
        Bytes of the blob, from a request's first chunk on, that are fetched along; or how they are
        decided, see `workbench.policy.amplify`.
    capacity
        Uncompressed bytes that the cache may hold; None for no bound.
    eviction
        A name that `workbench.policy.get` knows, or a policy.
    prefetch
        Chunk rows to fetch in the background from the start, in that order; or a policy, or the name of one that
        `workbench.policy.prefetch.get` knows.
    prefetch_workers
        How many fetch them, in each client.
    prefetch_rate
        Bytes of the blob a second that they may ask for; 0 for no limit.
    link
        A `storage.backend.Link`.
    cpu
        See `Cpu`, and `calibrate`, which takes it from a live run.
    loop
        ``closed``: a thread's next read waits for its last, plus think time. ``open``: it is due at the time
        that was recorded, begins then or when its thread is free, and takes as long as since it was due.
    warm_up
        Reads, in the order in which they begin, of which nothing is counted in totals.
    cold_open
        Whether a client first fetches each blob.meta, and its first program's time begins with that.
    """

    plan: str = "exact"
    amplify_io: int | Amplify = 1 << 20
    capacity: int | None = None
    eviction: str | EvictionPolicy = "none"
    prefetch: str | Sequence[int] | PrefetchPolicy | None = None
    prefetch_workers: int = 1
    prefetch_rate: int = 0
    link: Link = field(default_factory=Link)
    cpu: Cpu = field(default_factory=Cpu)
    loop: str = "closed"
    warm_up: int = 0
    cold_open: bool = False

    def __post_init__(self) -> None:
        if self.plan not in PLANS:
            raise ConfigError(f"no plan {self.plan!r}; there are {', '.join(PLANS)}", field="plan")
        if self.loop not in LOOPS:
            raise ConfigError(f"no loop {self.loop!r}; there are {', '.join(LOOPS)}", field="loop")
        for name in ("amplify_io", "prefetch_workers", "prefetch_rate", "capacity", "warm_up"):
            value = getattr(self, name) or 0
            if isinstance(value, int) and value < 0:
                raise ConfigError("cannot be negative", field=name)

    @property
    def policy(self) -> EvictionPolicy:
        """The policy itself."""
        return policy.get(self.eviction) if isinstance(self.eviction, str) else self.eviction


def bind_prefetch(settings: Settings, workload: Workload) -> Bound:
    """What a prefetch setting means for a workload.

    Raises
    ------
    ConfigError
        If there is no prefetch of that name, or no such row.
    """
    chosen = settings.prefetch
    if isinstance(chosen, str):
        chosen = prefetch.get(chosen)
    elif not isinstance(chosen, PrefetchPolicy):
        chosen = prefetch.rows([] if chosen is None else chosen)
    return chosen.bind(workload)
