"""`workbench replay` under every prefetch policy, in an open loop, after a warm-up, and of a fleet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from storage.image import open_image
from workbench.cli import group
from workbench.replay import PREFETCH
from workbench.trace import write_table
from workbench.trace._schema import READS


@pytest.fixture(scope="module")
def trace(image_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader of every tenth file of the image, 10 ms apart, twice."""
    image = open_image(image_dir)
    names, rows = image.paths()
    files = [
        (name.decode(), int(image.inodes.size[row]))
        for name, row in zip(names, rows, strict=True)
        if image.inodes.mode[row] & 0o170000 == 0o100000 and image.inodes.size[row] > 0
    ][::10] * 2
    count = len(files)
    columns: dict[str, Any] = {
        "read_id": range(count),
        "t_ns": [10_000_000 * number for number in range(count)],
        "dur_ns": [0] * count,
        "think_ns": [0] + [10_000_000] * (count - 1),
        "thread": [0] * count,
        "program": ["p"] * count,
        "path": [name for name, _ in files],
        "offset": [0] * count,
        "length": [size for _, size in files],
    }
    digest = {b"image": image.bootstrap_digest.encode()}
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in READS], READS.names)
    path = tmp_path_factory.mktemp("trace") / "reads.parquet"
    write_table(path, table.replace_schema_metadata(digest))
    return path


def replayed(trace: Path, image: Path, *words: str) -> dict[str, Any]:
    """What a replay says."""
    command = ["replay", str(trace), "--image", str(image), "--any-image", "--json", *words]
    done = CliRunner().invoke(group, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output))


def test_every_prefetch(trace: Path, image_dir: Path) -> None:
    """Each has the same bytes read; knowing the trace is faster than nothing, and wastes less than everything."""
    found = {name: replayed(trace, image_dir, "--prefetch", name, "--amplify", "none") for name in PREFETCH}
    assert len({row["bytes_asked"] for row in found.values()}) == 1
    times = {name: row["time_to_last_read_ns"] for name, row in found.items()}
    assert times["clairvoyant"] < times["none"]
    assert found["none"]["bytes_by_cause"]["prefetch"] == 0
    for name in ("whole blob", "first program", "clairvoyant", "directory", "span", "obl"):
        assert found[name]["bytes_by_cause"]["prefetch"] > 0, name
    wasted = {name: row["wasted_prefetch_bytes"] for name, row in found.items()}
    assert wasted["clairvoyant"] < wasted["whole blob"]  # what lies in a gap comes along


def test_paths(trace: Path, image_dir: Path) -> None:
    """Folders by path are read ahead; one that is not there is named."""
    assert replayed(trace, image_dir, "--prefetch", "paths=/lib")["bytes_by_cause"]["prefetch"] > 0
    command = ["replay", str(trace), "--image", str(image_dir), "--any-image", "--prefetch", "paths=/nowhere"]
    done = CliRunner().invoke(group, command)
    assert done.exit_code != 0
    assert "/nowhere" in str(done.exception)


def test_amplified(trace: Path, image_dir: Path) -> None:
    """Policies by name fetch along what they say: none nothing, a profile no more than a fixed window."""
    found = {
        name: replayed(trace, image_dir, "--amplify", name)["bytes_by_cause"]["amplify"]
        for name in ("none", "fixed", "reference", "adaptive=256KiB", "profile", "1MiB")
    }
    assert found["none"] == 0 < found["fixed"] == found["1MiB"] == found["reference"]
    assert found["profile"] <= found["fixed"]


def test_open_loop(trace: Path, image_dir: Path) -> None:
    """At recorded times a slow link makes reads late, and no later than one after the other."""
    slow = ("--link", "rtt=50ms,bw=8Mbit", "--amplify", "none")
    opened, closed = replayed(trace, image_dir, *slow, "--loop", "open"), replayed(trace, image_dir, *slow)
    assert opened["requests"] == closed["requests"]
    assert opened["time_to_last_read_ns"] <= closed["time_to_last_read_ns"]
    assert opened["p99_ns"] > closed["p99_ns"]


def test_warm_up(trace: Path, image_dir: Path) -> None:
    """The second round alone finds all that the first has fetched."""
    whole = replayed(trace, image_dir)
    warm = replayed(trace, image_dir, "--warm-up", str(whole["reads"] // 2))
    assert warm["hit_ratio"] == 1.0 > whole["hit_ratio"]
    assert warm["requests"] == 0 < whole["requests"]


def test_fleet(trace: Path, image_dir: Path) -> None:
    """Three machines fetch three times as much, and say when each was through."""
    alone, three = replayed(trace, image_dir), replayed(trace, image_dir, "--clients", "3")
    assert three["bytes_received"] == 3 * alone["bytes_received"]
    command = ["replay", str(trace), "--image", str(image_dir), "--any-image", "--clients", "3"]
    done = CliRunner().invoke(group, command)
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()[-5:-2]] == ["0", "1", "2"]
