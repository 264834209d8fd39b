"""Runs side by side, and the ranked grid."""

from __future__ import annotations

import dataclasses
import io

import pandas as pd
from rich.console import Console

from workbench.view import Ranking, Run, compare, summarize
from workbench.view._words import count, duration, percent, share, size, times


def shown(what: object, width: int = 80) -> str:
    """What a terminal shows."""
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    return out.getvalue()


def test_differences_are_of_the_last_from_the_first(small: Run) -> None:
    """Predicted beside measured: numbers, texts, and the difference in percent."""
    predicted = summarize(small.events, small.reads)
    measured = dataclasses.replace(predicted, time_to_last_read_ns=258, evictions=0, p50_ns=50)
    table = compare({"predicted": predicted, "measured": measured})
    rows = {row.metric.strip(): row for row in table.rows}
    assert rows["time to last read"].texts == ("215 ns", "258 ns")
    assert rows["time to last read"].difference == "+20.0 %"
    assert rows["evictions"].difference == "-100.0 %"
    assert rows["p50 latency"].difference == "same"
    assert table.frame.loc["bytes received"].tolist() == [450, 450]
    assert "predicted" in shown(table)
    assert "+20.0 %" in table._repr_html_()


def test_small_and_undefined_differences(small: Run) -> None:
    """What rounds to nothing says so; a difference from zero has no percentage; tenfold and more is a factor."""
    one = dataclasses.replace(summarize(small.events, small.reads), time_to_last_read_ns=10**9, evictions=0)
    two = dataclasses.replace(one, time_to_last_read_ns=10**9 + 1, evictions=3)
    two = dataclasses.replace(two, p99_ns=100 * one.p99_ns)
    found = {row.metric: row.difference for row in compare({"a": one, "b": two}).rows}
    assert found["p99 latency"] == "100\N{MULTIPLICATION SIGN}"
    assert found["time to last read"] == "< 0.1 %"
    assert found["evictions"] == "-"


def test_ranking_is_best_first_and_ends_with_the_worst(frame: pd.DataFrame) -> None:
    """The fastest rows, the slowest for scale; without eviction all cache sizes are one row."""
    ranking = Ranking(frame, limit=4)
    assert [row.rank for row in ranking.rows] == [1, 2, 3, 12]
    assert ranking.rows[0].texts == (
        "none",
        "∞",
        "1 MiB",
        "whole blob",
        "  2.00",
        "40.2",
        "12.3",
        "1,234",
        "91.5",
        "0.8",
    )
    assert ranking.rows[1].texts[:4] == ("lru", "100 %", "1 MiB", "whole blob")
    assert [round(row.share, 3) for row in ranking.rows] == [0.303, 0.318, 0.394, 1.0]
    assert "8 more between the last two rows" in ranking.footnote


def test_ranking_fits_a_terminal(frame: pd.DataFrame) -> None:
    """Eighty columns hold every cell of the ranked table whole."""
    text = shown(Ranking(frame))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "more between" not in text


def test_ranking_in_a_notebook(frame: pd.DataFrame) -> None:
    """The HTML has one row a combination, and a bar as long as its time."""
    text = Ranking(frame, limit=4)._repr_html_()
    assert text.count("<tr>") == 5
    assert "width:7.00rem" in text


def test_words() -> None:
    """Three significant digits and a unit; what rounds up moves on to the next unit."""
    assert [size(n) for n in (0, 1, 999, 1_000, 12_345, 999_600, 10**9)] == [
        "0 B", "1 B", "999 B", "1.00 kB", "12.3 kB", "1.00 MB", "1.00 GB",
    ]  # fmt: skip
    assert [duration(n) for n in (0, 12, 20_400_000, 3_214_000_000)] == ["0 s", "12 ns", "20.4 ms", "3.21 s"]
    assert [share(n) for n in (0, 131_072, 1 << 20, 3 << 30, 1_000)] == ["0", "128 KiB", "1 MiB", "3 GiB", "1.00 kB"]
    assert (count(1_234_567), percent(1, 8), percent(1, 0), times(1.844)) == (
        "1,234,567",
        "12.5 %",
        "-",
        "1.84\N{MULTIPLICATION SIGN}",
    )
