"""Under which circumstances a workload is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from storage.backend import Link
from storage.errors import ConfigError
from storage.plan import PLANS, Batches
from workbench import policy
from workbench.policy import EvictionPolicy
from workbench.replay._cpu import Cpu
from workbench.replay._workload import Workload

__all__ = ["PREFETCH", "Settings", "prefetch_rows"]

PREFETCH = ("none", "first program", "whole blob")
"""Prefetch lists by name."""


@dataclass(frozen=True)
class Settings:
    """A cache, a link and a CPU.

    Attributes
    ----------
    plan
        ``exact`` or ``reference``; see `storage.plan`.
    amplify_io
        Bytes of the blob, from a request's first chunk on, that are fetched along.
    capacity
        Uncompressed bytes that the cache may hold; None for no bound.
    eviction
        A name that `workbench.policy.get` knows, or a policy.
    prefetch
        Chunk rows to fetch in the background from the start, in that order, or the requests that
        `storage.plan.plan_prefetch` makes of an image's wishes; or ``none``, ``first program`` (the
        chunks that the first program reads), ``whole blob`` (all chunks).
    prefetch_workers
        How many fetch them.
    prefetch_batch
        Bytes up to which neighbours in that list are fetched with one request; by default `amplify_io`.
    link
        A `storage.backend.Link`.
    cpu
        See `Cpu`, and `calibrate`, which takes it from a live run.
    """

    plan: str = "exact"
    amplify_io: int = 1 << 20
    capacity: int | None = None
    eviction: str | EvictionPolicy = "none"
    prefetch: str | Sequence[int] | Batches | None = None
    prefetch_workers: int = 1
    prefetch_batch: int | None = None
    link: Link = field(default_factory=Link)
    cpu: Cpu = field(default_factory=Cpu)

    def __post_init__(self) -> None:
        if self.plan not in PLANS:
            raise ConfigError(f"no plan {self.plan!r}; there are {', '.join(PLANS)}", field="plan")
        for name in ("amplify_io", "prefetch_workers", "prefetch_batch", "capacity"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError("cannot be negative", field=name)

    @property
    def policy(self) -> EvictionPolicy:
        """The policy itself."""
        chosen = policy.get(self.eviction) if isinstance(self.eviction, str) else self.eviction
        if chosen.offline:
            raise ConfigError(f"policy {chosen.name} knows the future, which time would change", field="eviction")
        return chosen


def prefetch_rows(prefetch: str | Sequence[int] | Batches | None, workload: Workload) -> npt.NDArray[np.int64]:
    """The chunk rows that a prefetch setting stands for.

    Raises
    ------
    ConfigError
        If there is no prefetch of that name, or no such row.
    """
    chunks = len(workload.layout.size)
    if isinstance(prefetch, str):
        return _named(prefetch, workload)
    listed = prefetch.rows if isinstance(prefetch, Batches) else prefetch
    rows = np.asarray([] if listed is None else listed, np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < chunks:
        raise ConfigError("a prefetch list names a chunk that the image does not have", field="prefetch")
    return rows


def _named(name: str, workload: Workload) -> npt.NDArray[np.int64]:
    if name == "none":
        return np.zeros(0, np.int64)
    if name == "whole blob":
        return np.arange(len(workload.layout.size))
    if name == "first program":
        return workload.chunks_of(0)
    raise ConfigError(f"no prefetch {name!r}; there are {', '.join(PREFETCH)}", field="prefetch")
