"""Tables that a run of the tests ends with: what came of each fault, and what holds of each reference image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

__all__ = ["print_faults", "print_variants"]

_WORDS = {"failed": "DIFFERS", "error": "DIFFERS", "skipped": "skipped", "passed": "equal"}  # the worst first


def print_faults(terminal: pytest.TerminalReporter) -> None:
    """One line for the backends with which a fault had the same outcome."""
    together: dict[tuple[str, str], list[str]] = {}
    for _, (fault, backend, outcome) in sorted(set(_properties(terminal, "survived", ("passed",)))):
        together.setdefault((fault, outcome), []).append(backend)
    rows = [(fault, ", ".join(backends), outcome) for (fault, outcome), backends in together.items()]
    _print(terminal, "fault × backend → outcome", rows)


def print_variants(terminal: pytest.TerminalReporter) -> None:
    """One row for each reference image, a column for each claim that was tried of it; the worst outcome counts."""
    outcomes: dict[tuple[str, str], set[str]] = {}
    for outcome, (variant, claim) in _properties(terminal, "claim", _WORDS):
        outcomes.setdefault((variant, claim), set()).add(outcome)
    claims = list(dict.fromkeys(claim for _, claim in sorted(outcomes, key=lambda pair: pair[1])))
    rows = [("", *claims)] if claims else []
    for name in sorted({variant for variant, _ in outcomes}):
        found = (outcomes.get((name, claim), ()) for claim in claims)
        rows.append((name, *(next((_WORDS[word] for word in _WORDS if word in cell), "") for cell in found)))
    _print(terminal, "reference image × claim → ours beside the reference's", rows)


def _properties(
    terminal: pytest.TerminalReporter, key: str, outcomes: Sequence[str] | dict[str, str]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for outcome in outcomes:
        for report in terminal.stats.get(outcome, []):
            told = getattr(report, "user_properties", ())  # a module that cannot be collected has none
            yield from ((outcome, tuple(value)) for name, value in told if name == key)


def _print(terminal: pytest.TerminalReporter, title: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    terminal.section(title)
    for row in rows:
        terminal.write_line("  ".join(f"{cell:{width}}" for cell, width in zip(row, wide, strict=True)).rstrip())
