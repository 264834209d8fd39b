"""Results on a terminal: names, and figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from workbench.view._words import duration

__all__ = ["column_table", "figure", "figures", "plain_table", "title"]


def title(name: str) -> str:
    """What a measure is called: ``time_to_last_read_ns`` is the time to last read."""
    return name.removesuffix("_ns").replace("_", " ")


def figure(name: str, value: Any) -> str:
    """Times in the unit that fits, ratios with four digits, and all else to the last byte."""
    if name.endswith("_ns"):
        return duration(value)
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def plain_table() -> Table:
    """A table without lines."""
    return Table(box=None, header_style="dim", pad_edge=False)


def column_table(heads: Iterable[str], first: str = "left") -> Table:
    """A table without lines, whose columns are numbers but for the first one, maybe."""
    table = plain_table()
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 and first == "left" else "right", no_wrap=True)
    return table


def figures(values: Mapping[str, Any]) -> Table:
    """One figure a row."""
    table = column_table(("", ""))
    table.show_header = False
    for name, value in values.items():
        table.add_row(title(name), figure(name, value))
    return table
