"""The table of faults: what each fault did to each backend, printed when the tests are through."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_KEY = "survived"


@pytest.fixture
def survived(record_property: Callable[[str, object], None]) -> Callable[[str, str, str], None]:
    """Add a row to the table: the fault, the backend, and what came of it."""

    def add(fault: str, backend: str, outcome: str) -> None:
        record_property(_KEY, (fault, backend, outcome))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the tests that passed."""
    passed = terminalreporter.stats.get("passed", [])
    rows = sorted(tuple(value) for report in passed for key, value in report.user_properties if key == _KEY)
    if rows:
        wide = [max(len(row[column]) for row in rows) for column in range(3)]
        terminalreporter.section("fault × backend → outcome")
        for row in rows:
            terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)))
