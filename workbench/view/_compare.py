"""Runs side by side: predicted beside measured, before beside after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import pandas as pd

from workbench.view._outline import PART_WORDS
from workbench.view._style import PARTS
from workbench.view._summary import Summary
from workbench.view._words import count, duration, percent, size, times

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Comparison", "Row", "compare"]

Metric = tuple[str, Callable[[Summary], float], Callable[[float], str]]


def _part(part: str) -> Callable[[Summary], float]:
    return lambda summary: summary.split[part]


_METRICS: Final[tuple[Metric, ...]] = (
    ("time to last read", lambda s: s.time_to_last_read_ns, duration),
    *((f"  {PART_WORDS[part]}", _part(part), duration) for part in PARTS),
    ("p50 latency", lambda s: s.p50_ns, duration),
    ("p99 latency", lambda s: s.p99_ns, duration),
    ("bytes received", lambda s: s.bytes_received, size),
    ("  of it metadata", lambda s: s.received["meta"], size),
    ("requests", lambda s: s.requests, count),
    ("chunks fetched", lambda s: s.chunks_fetched, count),
    ("evictions", lambda s: s.evictions, count),
    ("hit ratio", lambda s: s.hit_ratio, percent),
)


class Row(NamedTuple):
    """One metric of all runs; the difference is of the last from the first."""

    metric: str
    values: tuple[float, ...]
    texts: tuple[str, ...]
    difference: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table of runs, one metric a row."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, one run a column: nanoseconds, bytes, counts."""
        return pd.DataFrame({row.metric.strip(): row.values for row in self.rows}, index=list(self.names)).T

    def __rich__(self) -> RenderableType:
        from workbench.view._terminal import comparison

        return comparison(self)

    def _repr_html_(self) -> str:
        from workbench.view._html import comparison_html, page

        return page(comparison_html(self))


def compare(runs: Mapping[str, Summary]) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    runs
        Summaries by the name to show them under; the first is what the last is compared with.
    """
    rows = []
    for metric, value, text in _METRICS:
        values = tuple(value(summary) for summary in runs.values())
        rows.append(Row(metric, values, tuple(map(text, values)), _difference(values[0], values[-1])))
    return Comparison(tuple(runs), tuple(rows))


def _difference(first: float, last: float) -> str:
    if first == last:
        return "same"
    if not first:
        return "-"
    if last >= 10 * first:
        return times(last / first)
    percent = 100 * (last - first) / first
    return f"{percent:+.1f} %" if abs(percent) >= 0.05 else "< 0.1 %"
