"""What many tests need: a small tree, and an image of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from storage.image.build import build
from tests.tables import print_faults, print_variants

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables."""
    # Here, not beside those tests: with several workers only this file is read where reports arrive.
    print_faults(terminalreporter)
    print_variants(terminalreporter)
