"""Prefetch in answer to reads of many chunks: the live store asks for what replay says, in its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from storage.events import audit
from storage.image import open_image
from tests.workbench.replay.test_live import reads_of
from tests.workbench.replay.test_live_policies import REACTIVE, run
from workbench.policy import amplify
from workbench.replay import Settings, Workload, replay


def in_order(events: pa.Table) -> list[tuple[int, int, bool]]:
    """Offset and length of each request, and whether a user asked; none for blob.meta."""
    frame = events.to_pandas()
    fetched = set(frame.loc[(frame["kind"] == "fetch") & (frame["cause"] != "meta"), "fetch_id"])
    asked = frame[(frame["kind"] == "request") & frame["fetch_id"].isin(fetched)].sort_values("t_ns", kind="stable")
    return list(zip(asked["offset"], asked["length"], asked["read_id"] >= 0, strict=True))


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("name", list(REACTIVE))
def test_same_order(image_dir: Path, tmp_path: Path, name: str, plan: str) -> None:
    """One after the other, with prefetch over before the next: no read has a chunk of its own fetched for it."""
    reads, image = reads_of(image_dir, 60, seed=9), open_image(image_dir)
    think = pa.array(np.full(60, 60 * 10**9))
    reads = reads.set_column(reads.column_names.index("think_ns"), "think_ns", think)
    workload = Workload.from_reads(reads, image)
    settings = Settings(plan=plan, amplify_io=amplify.none(), prefetch=REACTIVE[name])
    live = run(image_dir, reads, workload, settings, tmp_path)
    result = replay(workload, None, settings, record=True)
    assert in_order(live) == in_order(result.events())
    ledgers = audit(live)
    assert (ledgers.hit, ledgers.fetched) == (result.totals["bytes_hit"], result.totals["bytes_fetched"])
