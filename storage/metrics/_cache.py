"""What a cache counts: upstream's `BlobcacheMetrics`.

Source: nydus ``utils/src/metrics.rs``, ``storage/src/cache/cachedfile.rs``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["CacheMetrics"]


class _Tally:
    """Counts without a lock."""

    def __init__(self) -> None:
        self._count = itertools.count()
        self._asked = 0
        self.add = self._count.__next__

    def value(self) -> int:
        """How often there was something to count; a counter cannot be looked at without being moved on."""
        self._asked += 1
        return next(self._count) + 1 - self._asked


class CacheMetrics:
    """Counters of one cache, by upstream's names.

    All are counted under the cache's lock, but for reads that are served at once, of one range or of one whole chunk:
    `read_at_once`, `whole_at_once`. Those of a single chunk are counted by being noted for the policy.

    Attributes
    ----------
    total
        Reads that reached the cache. A read of a file is one for each blob that it touches.
    partial_hits
        Continuous ranges that were copied out of cache files as they are; under plan ``reference`` no longer than
        a request for them would have been, so that a long read has several. "Partial" says that no whole chunk
        need be read: that nothing is missing is just as partial a hit as that half of it is. A read that hits in
        two places, around something that is fetched, has two; so there may be more of them than reads, and their
        sum by `total` is no share of anything.
    whole_hits
        Chunks that were read whole from a cache file to be decoded or verified: all hits of compressed, encrypted
        and validated caches, and chunks found again under a map that forgets.
    entries_count
        Chunks that became ready since the cache was opened; what was evicted or spoilt is not taken off. nydusd
        counts a chunk that it fetches again once more.
    prefetch_data_amount
        Bytes asked of the backend ahead of users. nydusd adds up what was planned, whether it was there already or not.
    prefetch_unmerged_chunks, prefetch_requests_count
        Chunks that were wished for, and the requests that they were merged into; what is there already when its
        turn comes is left out of them.
    prefetch_cumulative_time_millis
        What those requests took, from being made to being stored, all added up.
    """

    def __init__(self) -> None:
        self.total = self.partial_hits = 0
        self._at_once, self._whole_at_once = _Tally(), _Tally()
        self.read_at_once = self._at_once.add  # one read, one hit, and no lock
        self.whole_at_once = self._whole_at_once.add
        self.whole_hits = self.entries_count = 0
        self.prefetch_data_amount = self.prefetch_requests_count = self.prefetch_unmerged_chunks = 0
        self._prefetch_ns = 0
        self._prefetch_began = self._prefetch_ended = 0

    def prefetched(self, size: int, spent_ns: int) -> None:
        """A request that was made ahead of users is stored."""
        self.prefetch_data_amount += size
        self._prefetch_ns += spent_ns
        self._prefetch_ended = time.time_ns()
        self._prefetch_began = self._prefetch_began or self._prefetch_ended - spent_ns

    def to_dict(
        self, files: Iterable[Path], folder: Path, workers: int, all_ready: bool, noted: int = 0
    ) -> dict[str, Any]:
        """What nydusd answers at ``/api/v1/metrics/blobcache``, key for key.

        ``prefetch_begin_time_secs`` and its like are wall-clock time. ``buffered_backend_size``, bytes that wait to
        be written, is 0: they are written before a read ends. ``data_all_ready`` says whether every chunk is here.
        """
        at_once, whole = self._at_once.value() + noted, self._whole_at_once.value()
        began, ended = (divmod(at // 1_000_000, 1000) for at in (self._prefetch_began, self._prefetch_ended))
        return {
            "underlying_files": sorted(file.name for file in files),
            "store_path": str(folder),
            "partial_hits": self.partial_hits + at_once,
            "whole_hits": self.whole_hits + whole,
            "total": self.total + at_once + whole,
            "entries_count": self.entries_count,
            "prefetch_data_amount": self.prefetch_data_amount,
            "prefetch_requests_count": self.prefetch_requests_count,
            "prefetch_workers": workers,
            "prefetch_unmerged_chunks": self.prefetch_unmerged_chunks,
            "prefetch_cumulative_time_millis": self._prefetch_ns // 1_000_000,
            "prefetch_begin_time_secs": began[0],
            "prefetch_begin_time_millis": began[1],
            "prefetch_end_time_secs": ended[0],
            "prefetch_end_time_millis": ended[1],
            "buffered_backend_size": 0,
            "data_all_ready": all_ready,
        }
