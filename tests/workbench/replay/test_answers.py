"""Prefetch in answer to reads of many chunks: the live store asks for what replay says, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.events import audit
from storage.image import open_image
from workbench.policy import amplify, prefetch
from workbench.replay import Settings, Workload, replay
from workbench.testing import in_order, random_reads, run_serially

REACTIVE = {name: prefetch.get(name) for name in ("obl", "sequential", "directory", "markov", "pg", "mithril")}
REACTIVE["span"] = prefetch.span(background=False)


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("name", list(REACTIVE))
def test_same_order(image_dir: Path, tmp_path: Path, name: str, plan: str) -> None:
    """One after the other, with prefetch over before the next: no read has a chunk of its own fetched for it."""
    reads, image = random_reads(image_dir, 60, seed=9, think_ns=60 * 10**9), open_image(image_dir)
    workload = Workload.from_reads(reads, image)
    settings = Settings(plan=plan, amplify_io=amplify.none(), prefetch=REACTIVE[name])
    live = run_serially(image_dir, reads, settings, tmp_path)
    result = replay(workload, None, settings, record=True)
    assert in_order(live) == in_order(result.events())
    ledgers = audit(live)
    assert (ledgers.hit, ledgers.fetched) == (result.totals["bytes_hit"], result.totals["bytes_fetched"])
