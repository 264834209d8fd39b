"""The notebook as it is committed: it must read well where it cannot be run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "01_first_light.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    """Its cells of code."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_it_was_run_from_top_to_bottom(cells: list[dict[str, Any]]) -> None:
    """Cells are numbered as they follow each other, all but the first show something, and none failed."""
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(len(cell["outputs"]) == 1 for cell in cells[1:])
    assert {out["output_type"] for cell in cells[1:] for out in cell["outputs"]} == {"execute_result"}


def test_it_is_small_and_needs_no_kernel(cells: list[dict[str, Any]]) -> None:
    """Under a megabyte, with a picture in the place of the panel, and nothing of the machine it was run on."""
    assert NOTEBOOK.stat().st_size < 1_000_000
    shown = [set(out["data"]) for cell in cells for out in cell["outputs"]]
    assert not any("widget-view" in kind for kinds in shown for kind in kinds)
    assert "image/png" in shown[-1]
    assert not re.search(r"/(home|root|tmp|Users)/", text := NOTEBOOK.read_text())
    assert str(NOTEBOOK.parent) not in text
