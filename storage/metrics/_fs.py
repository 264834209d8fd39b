"""What is done to files, in total and file by file: upstream's `FsIoStats`.

Source: nydus ``utils/src/metrics.rs``. There an operation that fails counts among the hits of its
file, and never among its errors; here it is the other way round.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.metrics._classes import LATENCY_CLASSES, SIZE_CLASSES, latency_class, size_class
from storage.metrics._fop import Fop

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FsIoStats"]

_FOPS, _SIZES, _LATENCIES = len(Fop), len(SIZE_CLASSES), len(LATENCY_CLASSES)
# A file's row: bytes read, reads by size, operations, failed operations.
_BLOCKS, _HITS, _ERRORS, _WIDTH = 1, 1 + _SIZES, 1 + _SIZES + _FOPS, 1 + _SIZES + 2 * _FOPS


class FsIoStats:
    """Counters of one file system. Any number of threads may count.

    Parameters
    ----------
    id
        What the file system is called; where it is mounted, in nydusd.
    files, pattern, latest
        Whether to count file by file (``iostats_files``), to note when each file was read first
        (``access_pattern``), and to keep which were read lately (``latest_read_files``).
    """

    def __init__(self, id: str = "/", *, files: bool = False, pattern: bool = False, latest: bool = False) -> None:
        self.id = id
        self._lock = threading.Lock()
        self._switches = (files, pattern, latest)
        self._by_file = files or pattern or latest
        self._total = [0] * _WIDTH
        self._micros = [0] * _FOPS
        self._latencies = [0] * _LATENCIES
        self._rows: dict[int, int] = {}
        self._files = np.zeros((0, _WIDTH), np.int64)
        self._first: dict[int, tuple[int, int]] = {}
        self._latest: set[int] = set()

    def count(self, fop: Fop, ino: int, size: int = 0, micros: int = 0, failed: bool = False) -> None:
        """An operation that ended.

        Parameters
        ----------
        ino
            The file's number: its nid in v6, its inode number in v5.
        size, micros
            Of a read: bytes returned, and microseconds.
        """
        with self._lock:
            total = self._total
            if fop is Fop.READ:
                total[_BLOCKS + size_class(size)] += 1
                total[0] += size
                self._micros[fop] += micros
                self._latencies[latency_class(micros)] += 1
            total[(_ERRORS if failed else _HITS) + fop] += 1
            if self._by_file:
                self._count_file(fop, ino, size, failed)

    def _count_file(self, fop: Fop, ino: int, size: int, failed: bool) -> None:
        files, pattern, latest = self._switches
        if files:
            row = self._row(ino)
            if fop is Fop.READ and not failed:
                row[0] += size
                row[_BLOCKS + size_class(size)] += 1
            row[(_ERRORS if failed else _HITS) + fop] += 1
        if fop is Fop.READ and pattern:
            reads, first = self._first.get(ino, (0, 0))
            self._first[ino] = (reads + 1, first or time.time_ns())
        if fop is Fop.READ and latest and not failed:
            self._latest.add(ino)

    def _row(self, ino: int) -> Any:
        at = self._rows.setdefault(ino, len(self._rows))
        if at == len(self._files):
            self._files = np.concatenate([self._files, np.zeros((max(64, at), _WIDTH), np.int64)])
        return self._files[at]

    def metrics(self) -> dict[str, Any]:
        """What nydusd answers at ``/api/v1/metrics``, key for key.

        ``nr_opens`` is 0: files are read without being opened. ``data_read`` is in bytes,
        ``block_count_read`` reads by `SIZE_CLASSES`, ``fop_hits`` and ``fop_errors`` operations by `Fop`,
        ``fop_cumulative_latency_total`` in microseconds, of reads only; ``read_latency_dist`` by `LATENCY_CLASSES`.
        """
        files, pattern, latest = self._switches
        with self._lock:
            return {
                "files_account_enabled": files,
                "access_pattern_enabled": pattern,
                "record_latest_read_files_enabled": latest,
                "measure_latency": True,
                "id": self.id,
                "nr_opens": 0,
                "data_read": self._total[0],
                "block_count_read": self._total[_BLOCKS:_HITS],
                "fop_hits": self._total[_HITS:_ERRORS],
                "fop_errors": self._total[_ERRORS:],
                "fop_cumulative_latency_total": list(self._micros),
                "read_latency_dist": list(self._latencies),
            }

    def files(self) -> dict[str, dict[str, Any]]:
        """What nydusd answers at ``/api/v1/metrics/files``: by inode, of those that something was done to.

        nydusd lists inodes that were merely seen as well, as zeros.
        """
        with self._lock:
            return {str(ino): _file(self._files[at].tolist()) for ino, at in self._rows.items()}

    def access_pattern(self) -> list[dict[str, int]]:
        """What nydusd answers at ``/api/v1/metrics/pattern``: how often each file was read, and when first."""
        with self._lock:
            return [
                {
                    "ino": ino,
                    "nr_read": reads,
                    "first_access_time_secs": first // 1_000_000_000,
                    "first_access_time_nanos": first % 1_000_000_000,
                }
                for ino, (reads, first) in self._first.items()
            ]

    def latest_read_files(self) -> list[list[int]]:
        """What nydusd answers at ``/api/v1/metrics/files?latest=true``, and forgets: inodes, as ranges."""
        with self._lock:
            inodes = np.array(sorted(self._latest), np.int64)
            self._latest.clear()
        runs = np.split(inodes, np.flatnonzero(np.diff(inodes) != 1) + 1) if len(inodes) else []
        return [[int(run[0])] if len(run) == 1 else [int(run[0]), int(run[-1])] for run in runs]

    def files_table(self) -> pa.Table:
        """The same as `files`, a row each: ``ino, total_fops, data_read``, and lists by class and by operation."""
        import pyarrow as pa  # not for those who only read

        with self._lock:
            inodes, rows = list(self._rows), self._files[: len(self._rows)].copy()

        def lists(start: int, size: int) -> pa.Array:
            flat = pa.array(rows[:, start : start + size].reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, size)

        return pa.table(
            {
                "ino": pa.array(inodes, pa.int64()),
                "total_fops": rows[:, _HITS:].sum(axis=1),
                "data_read": rows[:, 0],
                "block_count_read": lists(_BLOCKS, _SIZES),
                "fop_hits": lists(_HITS, _FOPS),
                "fop_errors": lists(_ERRORS, _FOPS),
            }
        )

    def access_table(self) -> pa.Table:
        """The same as `access_pattern`, a row each, in the order of first reads: ``ino, nr_read, first_access``."""
        import pyarrow as pa

        with self._lock:
            inodes, seen = list(self._first), list(self._first.values())
        return pa.table(
            {
                "ino": pa.array(inodes, pa.int64()),
                "nr_read": pa.array([reads for reads, _ in seen], pa.int64()),
                "first_access": pa.array([first for _, first in seen], pa.timestamp("ns", "UTC")),
            }
        )


def _file(row: list[int]) -> dict[str, Any]:
    return {
        "total_fops": sum(row[_HITS:]),
        "data_read": row[0],
        "block_count_read": row[_BLOCKS:_HITS],
        "fop_hits": row[_HITS:_ERRORS],
        "fop_errors": row[_ERRORS:],
    }
