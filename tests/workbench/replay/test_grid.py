"""Many replays in one table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.workbench.replay._cases import layout_of, workload_of
from workbench.replay import Settings, grid, replay

COLUMNS = ["eviction", "cache_bytes", "cache", "amplify_io", "prefetch", "time_to_last_read_ms", "p99_ms", "MB"]
COLUMNS += ["requests", "hit_ratio", "wasted_prefetch_MB"]


def test_rows_are_replays() -> None:
    """Each combination once, the soonest first; without eviction there is one cache size only; rows are right."""
    rng = np.random.default_rng(4)
    workload = workload_of(rng, layout_of(rng, 30), 120)
    seen: list[tuple[int, int]] = []
    frame = grid(
        workload, None, Settings(prefetch_workers=2),
        eviction=("none", "lru"), cache=(0.25, 0.5), amplify=(0, 1 << 20),
        prefetch={"nothing": None, "some": [3, 4, 5]},
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert list(frame) == COLUMNS
    assert len(frame) == (1 + 2) * 2 * 2 == len(seen)
    assert seen[-1] == (12, 12)
    assert frame["time_to_last_read_ms"].is_monotonic_increasing
    assert set(frame[frame["eviction"] == "none"]["cache_bytes"]) == {-1}
    row = frame[(frame["eviction"] == "lru") & (frame["cache"] == 0.5) & (frame["prefetch"] == "some")].iloc[0]
    settings = Settings(
        eviction="lru", capacity=-(-workload.touched_bytes // 2), amplify_io=int(row["amplify_io"]), prefetch_workers=2
    )
    result = replay(workload, None, replace(settings, prefetch=[3, 4, 5]))
    assert row["time_to_last_read_ms"] == result.time_to_last_read_ns / 1e6
    assert row["cache_bytes"] == settings.capacity
    assert (row["requests"], row["hit_ratio"]) == (result.totals["requests"], result.totals["hit_ratio"])


def test_shown_in_notebooks() -> None:
    """A result shows its numbers as a table."""
    rng = np.random.default_rng(4)
    result = replay(workload_of(rng, layout_of(rng, 10), 20))
    assert "time_to_last_read_ns" in result._repr_html_()
    assert repr(result).startswith("Result(")
