"""Metrics as tables: a row for each file system, cache or backend that was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["metrics_table"]


def metrics_table(found: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Metrics of the same kind, of as many as there are, a row each and a column a key, in nydusd's order.

    Parameters
    ----------
    found
        What `FsIoStats.metrics`, `FileCache.metrics` or `MeteredBackend.metrics` answered. What one of them does
        not count is null.

    Examples
    --------
    >>> metrics_table(rafs.cache.metrics() for rafs in images)
    """
    import pyarrow as pa  # not for those who only read

    rows = list(found)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
