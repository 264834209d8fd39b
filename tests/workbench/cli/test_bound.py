"""`workbench bound`: what no policy can beat, in seconds and in misses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from storage.backend import LINKS
from storage.image import open_image
from workbench.cli._main import group
from workbench.replay import Settings, Workload, fleet, lower_bound
from workbench.testing import random_reads
from workbench.trace import write_table


def run(*words: object) -> Result:
    """The verb's answer."""
    return CliRunner().invoke(group, [*map(str, words)])


def said(*words: object) -> dict[str, Any]:
    """The same, of one that went well."""
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output))


@pytest.fixture
def trace(image_dir: Path, tmp_path: Path) -> Path:
    """Reads of the image."""
    reads = random_reads(image_dir, 40, seed=2)
    digest = open_image(image_dir).bootstrap_digest
    columns = reads.append_column("dur_ns", pa.array([0] * 40, pa.int64()))
    write_table(tmp_path / "reads.parquet", columns.replace_schema_metadata({"nydus.image": digest}))
    return tmp_path / "reads.parquet"


def test_time(trace: Path, image_dir: Path) -> None:
    """It is the bound of the workload under that link; no replay is below it, and each says how far it is above."""
    on = (trace, "--image", image_dir, "--link", "rtt=7ms,bw=10Mbit")
    least = said("bound", *on)["least_time_to_last_read_ns"]
    for prefetch in ("none", "clairvoyant"):
        replayed = said("replay", *on, "--prefetch", prefetch)
        assert replayed["time_to_last_read_ns"] / least - 1 == pytest.approx(replayed["above_bound"])
        assert replayed["above_bound"] >= 0
    words = run("replay", *on).output.splitlines()
    assert words[-1].startswith("at most ") and words[-1].endswith(" % above what any prefetch could reach")


def test_clients(trace: Path, image_dir: Path) -> None:
    """Of a fleet it is that of its programs, one for each machine."""
    workload = Workload.from_reads(random_reads(image_dir, 40, seed=2), open_image(image_dir))
    expected = lower_bound(fleet([workload] * 3), Settings(link=LINKS["wan"])).tolist()
    found = said("bound", trace, "--image", image_dir, "--clients", 3, "--link", "wan")
    assert found == {"least_time_to_last_read_ns": sum(expected), "by_program_ns": expected}


def test_misses(tmp_path: Path) -> None:
    """Of objects of one size it is what the best of all caches misses; of others no policy has less."""
    requests = [1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 1]
    for sizes, reached in (([10] * 5, True), ([9, 10, 30, 20, 15], False)):
        path = tmp_path / f"{reached}.csv"
        path.write_text("".join(f"{number},{key},{sizes[key]}\n" for number, key in enumerate(requests)))
        found = said("bound", path, "--cache-size", 20)
        assert found["reached_by_some_cache"] is reached
        least = [
            said("replay", path, "--untimed", "--eviction", name, "--cache-size", 20) for name in ("lru", "belady")
        ]
        assert all(found["fewest_misses"] <= other["misses"] for other in least)
        assert all(found["fewest_miss_bytes"] <= other["miss_bytes"] for other in least)
    # Of 11 requests for objects of 10 bytes in 20, worked out by hand: 1 and 2 stay, and 3 and 4 are let through.
    assert said("bound", tmp_path / "True.csv", "--cache-size", 20)["fewest_misses"] == 6
    assert "fewest misses" in run("bound", tmp_path / "True.csv", "--cache-size", "50%").output


def test_one_of_them(trace: Path, image_dir: Path) -> None:
    """With neither an image nor a cache size, or with both, it is refused in words."""
    for words in ((), ("--image", image_dir, "--cache-size", "1MiB")):
        done = run("bound", trace, *words)
        assert done.exit_code == 2
        assert "say one of them" in done.output
