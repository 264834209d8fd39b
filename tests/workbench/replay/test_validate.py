"""Live runs and replays side by side."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.backend import Link
from tests.workbench.replay.test_live import reads_of
from workbench.replay import Settings, fit, run_live, validate

LINK = Link(rtt_ns=80_000_000, bandwidth=2_000_000)


def test_fit(image_dir: Path) -> None:
    """The link that a live run was shaped by is found again from its events, and explains its requests."""
    link = Link(rtt_ns=20_000_000, bandwidth=200_000)  # slow enough for the machine's own delays not to matter
    found = fit(run_live(image_dir, reads_of(image_dir, 20, seed=2), Settings(link=link)).events)
    assert found.link.rtt_ns == pytest.approx(link.rtt_ns, rel=0.1)
    assert found.link.bandwidth == pytest.approx(link.bandwidth, rel=0.2)
    assert found.total == pytest.approx(1, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", ["none", "whole blob"])
def test_serial(image_dir: Path, prefetch: str) -> None:
    """One reader: without prefetch, requests and bytes are the same to the last; with it, each byte is asked for."""
    reads = reads_of(image_dir, 30, seed=2)
    thinking = pa.array([2_000_000] * 30)  # who reads at once keeps prefetch from ever beginning
    reads = reads.set_column(reads.column_names.index("think_ns"), "think_ns", thinking)
    other = Settings(link=LINK, amplify_io=1 << 20)
    found = validate(image_dir, reads, Settings(link=LINK, amplify_io=0, prefetch=prefetch), fitted_on=other, runs=3)
    table = found.table
    asked = table.loc[["bytes_hit", "bytes_waited", "bytes_fetched"]].sum()
    assert asked["live"] == asked["replayed"] == sum(reads["length"].to_pylist())
    if prefetch == "none":
        same = ["requests", "bytes_received", "bytes_hit", "bytes_fetched"]
        assert table.loc[same, "live"].tolist() == table.loc[same, "replayed"].tolist()
    assert table.loc["time_to_last_read_ns", "ratio"] == pytest.approx(1, rel=0.25)
