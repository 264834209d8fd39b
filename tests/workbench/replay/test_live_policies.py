"""Prefetch policies that answer several readers of the live store at once; one reader is their conformance suite's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.backend import LINKS
from storage.events import audit
from workbench.policy import prefetch
from workbench.replay import Settings, run_live
from workbench.testing import random_reads

REACTIVE = {name: prefetch.get(name) for name in ("obl", "sequential", "directory", "markov", "pg", "mithril")}
REACTIVE["span"] = prefetch.span(background=False)


@pytest.mark.parametrize("name", REACTIVE)
def test_of_many_readers(image_dir: Path, name: str) -> None:
    """Of four readers at once the books balance, and no chunk is fetched twice, whoever asked for it."""
    reads = random_reads(image_dir, 80, seed=8)
    threads = pa.array(np.arange(80, dtype=np.int32) % 4)
    reads = reads.set_column(reads.column_names.index("thread"), "thread", threads)
    live = run_live(image_dir, reads, Settings(prefetch=REACTIVE[name], prefetch_workers=2, link=LINKS["lan"]))
    assert audit(live.events).asked == pc.sum(reads["length"]).as_py()
    fetched = live.events.to_pandas().query("kind == 'fetch' and chunk >= 0 and cause != 'meta'")
    assert len(fetched) > 0
    assert not fetched["chunk"].duplicated().any()
