"""The grid's result as a ranked table."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from workbench.view._words import share

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Ranked", "Ranking"]

_HEADS = (
    ("evict", "left"),
    ("cache", "right"),
    ("amplify", "right"),
    ("prefetch", "left"),
    ("s", "right"),
    ("p99 ms", "right"),
    ("MB", "right"),
    ("req", "right"),
    ("hit %", "right"),
    ("wasted", "right"),
)


class Ranked(NamedTuple):
    """One combination: its place, its cells as text, its time as a share of the slowest shown."""

    rank: int
    texts: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best rows of what `workbench.replay.grid` returns, best first, and the worst for scale.

    Attributes
    ----------
    frame
        One combination a row, as the grid gives it.
    limit
        How many to show.
    """

    frame: pd.DataFrame
    limit: int = 12

    @property
    def heads(self) -> tuple[tuple[str, str], ...]:
        """Column names and how they are aligned."""
        return _HEADS

    @property
    def rows(self) -> list[Ranked]:
        """The rows to show; the last is the worst of all if there are more than `limit`."""
        ranked = self._ranked()
        kept = ranked if len(ranked) <= self.limit else pd.concat([ranked.head(self.limit - 1), ranked.tail(1)])
        slowest = float(kept["time_to_last_read_ms"].max())
        return [
            Ranked(int(rank) + 1, _texts(row), float(row["time_to_last_read_ms"]) / slowest if slowest else 0.0)
            for rank, row in zip(kept.index, kept.to_dict("records"), strict=True)
        ]

    @property
    def footnote(self) -> str:
        """What the columns mean, and how many rows were left out."""
        hidden = len(self._ranked()) - self.limit
        more = f" {hidden:,} more between the last two rows." if hidden > 0 else ""
        return f"s: to the last read. MB: received. wasted: MB prefetched, never read.{more}"

    def _ranked(self) -> pd.DataFrame:
        # Without eviction there is no bound, so one row stands for all cache sizes.
        bound = self.frame["cache"].where(self.frame["eviction"] != "none", 0.0)
        once = ~self.frame.assign(cache=bound).duplicated(["eviction", "cache", "amplify_io", "prefetch"])
        return self.frame[once].sort_values("time_to_last_read_ms", kind="stable").reset_index(drop=True)

    def __rich__(self) -> RenderableType:
        from workbench.view._terminal import ranking

        return ranking(self)

    def _repr_html_(self) -> str:
        from workbench.view._html import page, ranking_html

        return page(ranking_html(self))


def _texts(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return (
        str(row["eviction"]),
        "∞" if row["eviction"] == "none" else f"{100 * row['cache']:.0f} %",
        share(int(row["amplify_io"])),
        str(row["prefetch"]),
        f"{row['time_to_last_read_ms'] / 1e3:.2f}".rjust(6),
        f"{row['p99_ms']:.1f}",
        f"{row['MB']:.1f}",
        f"{row['requests']:,.0f}",
        f"{100 * row['hit_ratio']:.1f}",
        f"{row['wasted_prefetch_MB']:.1f}",
    )
