"""The table of faults: what each fault did to each backend; tests/conftest.py prints it in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def survived(record_property: Callable[[str, object], None]) -> Callable[[str, str, str], None]:
    """Add a row to the table: the fault, the backend, and what came of it."""

    def add(fault: str, backend: str, outcome: str) -> None:
        record_property("survived", (fault, backend, outcome))

    return add
