"""A folder that several processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Four processes of eight threads: each fetches a chunk once at most, every byte is right, no mark is lost."""
    script = Path(__file__).with_name("crowd.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, "4", "8", "5"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("every byte right, every chunk marked\n")
