"""Verbs on traces of whole objects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from workbench.cli._main import group


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Three requests for two objects."""
    (tmp_path / "t.csv").write_text("1,7,100\n2,9,50\n3,7,100\n")
    return str(tmp_path / "t.csv")


def test_untimed(trace: str) -> None:
    """An object trace is replayed without an image, and counted."""
    done = CliRunner().invoke(
        group, ["replay", trace, "--eviction", "lru", "--cache-size", "1KiB", "--untimed", "--json"]
    )
    counted = json.loads(done.output)
    assert (counted["requests"], counted["misses"], counted["bytes"], counted["miss_bytes"]) == (3, 2, 250, 150)
    table = CliRunner().invoke(group, ["replay", trace, "--eviction", "belady", "--cache-size", "50%", "--untimed"])
    assert "miss ratio" in table.output and table.exit_code == 0


def test_admission(trace: str) -> None:
    """An admission policy goes before the eviction policy, and is refused in words if there is none of it."""
    line = ["replay", trace, "--untimed", "--json"]
    bounded = [*line, "--eviction", "lru", "--cache-size", "1KiB", "--admission"]
    counted = json.loads(CliRunner().invoke(group, [*bounded, "size=64"]).output)
    assert (counted["eviction"], counted["misses"], counted["refused"]) == ("lru+size=64", 3, 2)
    assert "size=128KiB" in str(CliRunner().invoke(group, [*bounded, "size"]).exception)
    alone = CliRunner().invoke(group, [*line, "--admission", "tinylfu"])
    assert "--admission needs --eviction" in alone.output and alone.exit_code == 2


def test_convert(trace: str, tmp_path: Path) -> None:
    """A trace in another format is counted as before."""
    out = str(tmp_path / "t.oracleGeneral.zst")
    assert "3 requests for 2 objects, 250 bytes" in CliRunner().invoke(group, ["trace", "convert", trace, out]).output
    done = CliRunner().invoke(
        group, ["replay", out, "--eviction", "lru", "--cache-size", "1KiB", "--untimed", "--json"]
    )
    assert (json.loads(done.output)["misses"], json.loads(done.output)["miss_bytes"]) == (2, 150)


def test_curve(trace: str) -> None:
    """The curve has a row for each size: at two thirds of all bytes nothing is hit yet."""
    done = CliRunner().invoke(group, ["mrc", trace, "--points", "3", "--json"])
    assert [json.loads(line)["miss_ratio"] for line in done.output.splitlines()] == [1.0, 1.0, pytest.approx(2 / 3)]
    assert "miss ratio" in CliRunner().invoke(group, ["mrc", trace, "--eviction", "fifo", "--rate", "1"]).output


def test_refused(trace: str) -> None:
    """Knowing the future needs --untimed, and a workload needs its image."""
    future = CliRunner().invoke(group, ["replay", trace, "--eviction", "belady", "--cache-size", "1KiB"])
    assert "knows the future" in future.output and future.exit_code == 2
    image = CliRunner().invoke(group, ["replay", trace])
    assert "--image" in image.output and image.exit_code == 2
