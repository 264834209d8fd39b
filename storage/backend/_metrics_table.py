"""Metrics of backends as a table."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, Protocol

__all__ = ["metrics_html", "metrics_rows"]


class _Metered(Protocol):
    @property
    def counters(self) -> dict[str, int]: ...

    def metrics(self) -> dict[str, Any]: ...


def metrics_rows(meters: Iterable[_Metered]) -> list[dict[str, Any]]:
    """A row a backend: nydusd's totals under its names, then what HTTP counted."""
    rows = [{**meter.metrics(), **meter.counters} for meter in meters]
    return [{name: value for name, value in row.items() if not isinstance(value, list)} for row in rows]


def metrics_html(meters: Iterable[_Metered]) -> str:
    """The same for a notebook, a column a backend."""
    rows = metrics_rows(meters)
    names = dict.fromkeys(name for row in rows for name in row)
    lines = []
    for name in names:
        cells = "".join(f"<td style='text-align:right'>{_cell(row.get(name, ''))}</td>" for row in rows)
        lines.append(f"<tr><th style='text-align:left'>{escape(name)}</th>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
