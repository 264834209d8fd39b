"""The same numbers on one terminal screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workbench.view._outline import Bar, Section, facts, headline, sections
from workbench.view._style import COLOURS
from workbench.view._words import percent

if TYPE_CHECKING:
    from workbench.view._compare import Comparison
    from workbench.view._ranking import Ranking
    from workbench.view._summary import Summary

__all__ = ["comparison", "ranking", "screen"]

_BLOCKS = " ▏▎▍▌▋▊▉█"
_MUTED = "bright_black"


def screen(summary: Summary) -> RenderableType:
    """A summary in about 20 lines of at most 80 columns."""
    return Group(_headline(summary), Text(), *map(_section, sections(summary)), _facts(summary))


def comparison(table: Comparison) -> RenderableType:
    """Runs side by side, one metric a row."""
    out = _table([("", "left"), *((name, "right") for name in table.names), ("difference", "right")], gap=2)
    for row in table.rows:
        out.add_row(row.metric, *row.texts, Text(row.difference, style=_MUTED))
    return out


def ranking(table: Ranking) -> RenderableType:
    """The best combinations of a grid, best first."""
    out = _table([("", "right"), *table.heads], gap=0)
    for row in table.rows:
        out.add_row(Text(str(row.rank), style=_MUTED), *row.texts)
    return Group(out, Text(table.footnote, style=_MUTED))


def _headline(summary: Summary) -> Text:
    text = Text(summary.name, "bold")
    for figure, words in headline(summary):
        text.append(" · ", _MUTED).append(figure, "bold").append(f" {words}")
    return text


def _facts(summary: Summary) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=19)
    for head, tail in facts(summary):
        grid.add_row(head, Text(tail, style=_MUTED))
    return Padding(grid, (0, 0, 0, 1))


def _section(section: Section) -> RenderableType:
    return Group(Text(section.title, style="bold"), Padding(_bars(section.bars), (0, 0, 0, 1)), Text())


def _bars(bars: Sequence[Bar], width: int = 32) -> Table:
    whole = sum(bar.value for bar in bars)
    longest = max((bar.value for bar in bars), default=0) or 1
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=19)
    grid.add_column(width=width)
    grid.add_column(justify="right", width=9)
    grid.add_column(justify="right", style=_MUTED, width=7)
    for bar in bars:
        line = _bar(bar.value / longest, width, COLOURS[bar.colour])
        grid.add_row(bar.word, line, bar.text, percent(bar.value, whole))
    return grid


def _bar(share: float, width: int, colour: str) -> Text:
    """A bar to an eighth of a cell; what is not zero shows at least that."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return Text("█" * (eighths // 8) + _BLOCKS[eighths % 8].strip(), style=colour)


def _table(heads: Sequence[tuple[str, str]], gap: int = 1) -> Table:
    out = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, gap, 0, 0))
    for name, align in heads:
        out.add_column(name, justify="right" if align == "right" else "left", no_wrap=True)
    return out
