"""The verb validate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.servers.nginx import nginx
from workbench.cli._main import group
from workbench.testing import random_reads
from workbench.trace import READS, write_table


@pytest.fixture
def trace(image_dir: Path, tmp_path: Path) -> Path:
    """Ten reads."""
    reads = random_reads(image_dir, 10, seed=1)
    columns = reads.append_column("dur_ns", reads["think_ns"]).select(READS.names)
    write_table(tmp_path / "reads.parquet", columns.cast(READS))
    return tmp_path / "reads.parquet"


def test_shaped(image_dir: Path, trace: Path) -> None:
    """On a link of ours, with costs from a run under another configuration: decisions are the same."""
    command = ["validate", str(trace), "--image", str(image_dir), "--link", "rtt=20ms,bw=40Mbit", "--amplify", "0"]
    done = CliRunner().invoke(group, [*command, "--fit-amplify", "1MiB", "--runs", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["identical"]
    assert found["link"]["rtt_ns"] == 20_000_000
    measured = found["measures"]["requests"]
    assert measured["live"] == measured["replayed"] > 0 == measured["off"]


def test_a_fleet(image_dir: Path, trace: Path) -> None:
    """Of several machines in an open loop each decides as in the replay, and asks as often as one alone."""
    command = [
        "validate",
        str(trace),
        "--image",
        str(image_dir),
        "--link",
        "rtt=5ms,bw=400Mbit",
        "--runs",
        "1",
        "--json",
    ]
    alone, three = (
        json.loads(CliRunner().invoke(group, [*command, "--loop", "open", "--clients", clients]).stdout)
        for clients in ("1", "3")
    )
    assert three["identical"]
    assert three["measures"]["requests"]["live"] == 3 * alone["measures"]["requests"]["live"] > 0
    assert three["measures"]["latency_ns"]["live"] > 0


def test_where_blobs_are(image_dir: Path, trace: Path, tmp_path: Path) -> None:
    """Without one, what lies before the blobs is fitted: a folder, or what a configuration names."""
    command = ["validate", str(trace), "--image", str(image_dir), "--runs", "1"]
    done = CliRunner().invoke(group, command)
    assert done.exit_code == 0, done.output
    assert "decisions identical: yes" in done.output.replace("\n", " ")
    with nginx(tmp_path / "nginx", image_dir / "blobs") as server:
        config = {"type": "http-proxy", "http-proxy": {"addr": f"http://127.0.0.1:{server.port}"}}
        (tmp_path / "config.json").write_text(json.dumps({"version": 2, "backend": config}))
        done = CliRunner().invoke(group, [*command, "--config", str(tmp_path / "config.json"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["identical"]


def test_either_link_or_config(image_dir: Path, trace: Path, tmp_path: Path) -> None:
    """A link of ours is not put before what a configuration names."""
    (tmp_path / "config.json").write_text('{"version": 2}')
    command = ["validate", str(trace), "--image", str(image_dir), "--config", str(tmp_path / "config.json")]
    done = CliRunner().invoke(group, [*command, "--link", "lan"])
    assert done.exit_code == 2
    assert "leave out --link" in done.output
