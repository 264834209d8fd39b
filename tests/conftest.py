"""What many tests need: a small tree, and an image of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from storage.image.build import build

# Machines are noisy: no example is timed. In CI the same examples are drawn each time.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def fill(root: Path) -> None:
    """A tree with text and noise, small and large files, a duplicate, links and an empty file."""
    rng = np.random.default_rng(7)
    (root / "lib" / "deep").mkdir(parents=True)
    for number in range(40):
        text = "".join(f"{number} {line} lazy loading\n" for line in range(number * 20 + 1))
        (root / "lib" / f"module_{number:02}.py").write_text(text)
    (root / "lib" / "deep" / "noise.bin").write_bytes(rng.bytes(300_000))
    (root / "big.txt").write_bytes(b"0123456789abcdef" * 200_000)
    (root / "copy.txt").write_bytes((root / "lib" / "module_20.py").read_bytes())
    (root / "empty").touch()
    (root / "link").symlink_to("lib/module_01.py")
    os.link(root / "lib" / "module_02.py", root / "hard")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a bit of everything."""
    root = tmp_path_factory.mktemp("tree")
    fill(root)
    return root


@pytest.fixture(scope="session")
def image_dir(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of that tree, in chunks of 64 KiB."""
    out = tmp_path_factory.mktemp("image")
    build(tree, out, chunk_size=64 << 10)
    return out


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What came of each fault, if tests of them ran: see tests/storage/backend/test_survive.py."""
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    cells = [value for report in reports for name, value in report.user_properties if name == "survive"]
    if cells:
        table = pd.DataFrame(cells, columns=["fault", "backend", "outcome"])
        table = table.pivot(index="fault", columns="backend", values="outcome").fillna("")
        same = table.nunique(axis=1) == 1
        table["every backend"] = table.iloc[:, 0].where(same, "")
        terminalreporter.section("what came of each fault")
        for fault, row in table.iterrows():
            if row["every backend"]:
                terminalreporter.write_line(f"{fault:36} every backend: {row['every backend']}")
                continue
            terminalreporter.write_line(f"{fault:36} " + "; ".join(f"{k}: {v}" for k, v in row[:-1].items() if v))
