"""A cache whose process is killed at any moment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_three_hundred_times(tmp_path: Path) -> None:
    """Killed during reads, prefetch and eviction: what is marked is there and right, and is not fetched again."""
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, script, tmp_path, "300", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = re.fullmatch(
        r"(\d+) kills, (\d+) chunks kept, (\d+) entries held, (\d+) written but not marked\n"
        r"killed during reads (\d+), prefetch (\d+), eviction (\d+)\n",
        done.stdout,
    )
    assert said is not None
    kills, kept, entries, in_flight, *during = map(int, said.groups())
    assert min(during) > 3, during
    assert kills == 300
    assert kept > 3000
    assert entries > 3000
    assert in_flight > 0
