"""The verb sweep."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from workbench.cli._main import group
from workbench.testing import random_reads
from workbench.trace import READS, write_table


def test_sweep(image_dir: Path, tmp_path: Path) -> None:
    """Every combination is a JSON object, and a second run finds them there."""
    reads = random_reads(image_dir, 20, seed=1)
    columns = reads.append_column("dur_ns", reads["think_ns"]).select(READS.names)
    write_table(tmp_path / "reads.parquet", columns.cast(READS))
    command = ["sweep", str(tmp_path / "reads.parquet"), "--image", str(image_dir), "-o", str(tmp_path / "out")]
    command += ["--amplify", "0,1MiB", "--link", "lan", "--link", "4g", "--workers", "0", "--json"]
    first, second = (CliRunner().invoke(group, command) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output
    rows = [json.loads(line) for line in first.output.splitlines()]
    assert {(row["amplify_io"], row["link"]) for row in rows} == {(a, b) for a in ("0", "1MiB") for b in ("lan", "4g")}
    assert first.output == second.output


def test_no_such_prefetch(tmp_path: Path) -> None:
    """A name that is none is told, with those that there are."""
    found = CliRunner().invoke(group, ["sweep", "x", "--image", "y", "-o", str(tmp_path), "--prefetch", "magic"])
    assert found.exit_code == 2
    assert "whole blob" in found.output
