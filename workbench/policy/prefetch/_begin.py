"""A prefetch policy at work in a live store."""

from __future__ import annotations

from storage.cache import FileCache
from storage.fs import Rafs
from storage.plan import Batches
from workbench.policy.prefetch._policy import Bound

__all__ = ["begin"]


def begin(rafs: Rafs, bound: Bound) -> None:
    """Have what is listed fetched, but for what is there already, and let the policy answer reads from now on.

    A store that keeps nothing has no place for what would be fetched.
    """
    listed, ahead = bound.rows, bound.fresh()
    if not isinstance(rafs.cache, FileCache):
        return
    if ahead is not None:
        rafs.answer(ahead)
    if isinstance(listed, Batches):
        rafs.cache.prefetch_batches(listed)
    elif len(listed):
        rafs.prefetch(listed.tolist())
