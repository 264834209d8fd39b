"""The same numbers as HTML: fragments for notebooks and for the report, and their one style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from workbench.view._outline import Bar, Section, facts, headline, sections
from workbench.view._style import COLOURS, DARK, variable
from workbench.view._words import percent

if TYPE_CHECKING:
    from workbench.view._compare import Comparison
    from workbench.view._ranking import Ranking
    from workbench.view._summary import Summary

__all__ = ["STYLE", "bars", "comparison_html", "page", "ranking_html", "summary_html", "table", "theme"]

STYLE: Final = """
.nw { font-variant-numeric: tabular-nums; line-height: 1.45; max-width: 60rem; }
.nw .line { font-size: 1.15em; margin: 0 0 1em; }
.nw .line b { white-space: nowrap; }
.nw h4 { font-size: .95em; font-weight: 600; margin: 1.1em 0 .35em; padding: 0; color: inherit; }
.nw .cols { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 0 2.5rem; }
.nw table { border-collapse: collapse; font-size: .92em; margin: 0; border: 0; }
.nw th { font-weight: 600; border-bottom: 1px solid currentColor; }
.nw th, .nw td { text-align: right; padding: .28em .7em; white-space: nowrap; background: none; border-width: 0 0 1px;
  border-style: solid; border-color: rgb(128 128 128 / .22); }
.nw th:first-child, .nw td:first-child { padding-left: 0; }
.nw table.facts td, .nw table.bars td { border: 0; padding: .08em .8em .08em 0; text-align: left; white-space: normal; }
.nw table.bars { width: 100%; table-layout: fixed; }
.nw table.bars td:first-child { width: 10.6em; white-space: nowrap; }
.nw table.bars td:nth-child(n+3) { width: 5.2em; text-align: right; white-space: nowrap; padding-right: 0; }
.nw table.bars i { display: block; height: .8em; border-radius: 2px; min-width: 1px; }
.nw table.facts { margin-top: 1.3em; }
.nw table.facts td { vertical-align: top; }
.nw table.facts td:first-child { white-space: nowrap; }
.nw .soft { opacity: .62; }
.nw .scroll { overflow-x: auto; margin-top: 1.2em; }
.nw .l { text-align: left !important; } /* notebooks align and stripe tables their own way */
.nw tr { background: none !important; }
.nw td .bar { display: inline-block; height: .7em; border-radius: 2px; vertical-align: baseline; }
"""


def theme(selector: str, colours: dict[str, str]) -> str:
    """CSS variables of the named colours."""
    return f"{selector} {{ {' '.join(f'--{variable(name)}: {colour};' for name, colour in colours.items())} }}"


def page(fragment: str) -> str:
    """A fragment that stands alone in a notebook: follows its theme, disturbs nothing around it."""
    dark = f"@media (prefers-color-scheme: dark) {{ {theme('.nw', DARK)} }}"
    jupyter = theme("[data-jp-theme-light=false] .nw", DARK) + theme("[data-jp-theme-light=true] .nw", COLOURS)
    return f"<style>{theme('.nw', COLOURS)}{dark}{jupyter}{STYLE}</style><div class='nw'>{fragment}</div>"


def summary_html(summary: Summary) -> str:
    """A summary: one line that says it all, then bars."""
    line = ", ".join(f"<b>{figure}</b> {words}" for figure, words in headline(summary))
    time, *ledgers = map(_section, sections(summary))
    rows = "".join(f"<tr><td><b>{head}</b></td><td class='soft'>{tail}</td></tr>" for head, tail in facts(summary))
    return (
        f"<p class='line'>{line}</p><div class='cols'><div>{time}</div><div>{''.join(ledgers)}</div></div>"
        f"<table class='facts'>{rows}</table>"
    )


def bars(rows: Sequence[Bar]) -> str:
    """Horizontal bars with their words, figures and shares; a plain table where styles are taken away."""
    whole = sum(row.value for row in rows)
    longest = max((row.value for row in rows), default=0) or 1
    cells = "".join(
        f"<tr><td>{escape(row.word)}</td>"
        f"<td>{_bar(row.value / longest, row.colour)}</td>"
        f"<td>{row.text}</td><td class='soft'>{percent(row.value, whole)}</td></tr>"
        for row in rows
    )
    return f"<table class='bars'>{cells}</table>"


def comparison_html(comparison: Comparison) -> str:
    """Runs side by side."""
    heads = [("", "l"), *((name, "") for name in comparison.names), ("difference", "")]
    body = (
        [_metric(row.metric), *(escape(text) for text in row.texts), f"<span class='soft'>{row.difference}</span>"]
        for row in comparison.rows
    )
    return table(heads, body)


def ranking_html(ranking: Ranking) -> str:
    """The ranked grid, a bar behind each time."""
    heads = [("", ""), *((name, "l" if align == "left" else "") for name, align in ranking.heads), ("", "l")]
    body = (
        [
            f"<span class='soft'>{row.rank}</span>",
            *(escape(text) for text in row.texts),
            f"<span class='bar' style='width:{7 * row.share:.2f}rem;background:var(--demand)'></span>",
        ]
        for row in ranking.rows
    )
    return table(heads, body) + f"<p class='soft'>{ranking.footnote}</p>"


def table(heads: Sequence[tuple[str, str]], body: Iterable[Sequence[str]]) -> str:
    """A table of ready HTML cells; heads are text and a class (``l``: left)."""
    head = "".join(f"<th class='{kind}'>{escape(name)}</th>" for name, kind in heads)
    rows = "".join(
        "<tr>"
        + "".join(f"<td class='{kind}'>{cell}</td>" for cell, (_, kind) in zip(row, heads, strict=True))
        + "</tr>"
        for row in body
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _metric(name: str) -> str:
    return f"<span class='soft'>&emsp;{escape(name.strip())}</span>" if name.startswith(" ") else escape(name)


def _bar(share: float, colour: str) -> str:
    return f"<i style='width:{100 * share:.2f}%;background:var(--{colour})'></i>" if share else ""


def _section(section: Section) -> str:
    return f"<h4>{escape(section.title)}</h4>{bars(section.bars)}"
