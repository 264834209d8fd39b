"""Tables of a replay: they say the same as its totals and events."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from hypothesis import HealthCheck, given, settings

from tests.workbench.replay._cases import cases, layout_of, workload_of
from workbench.replay import Settings, Workload, replay


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(warm_up=0))
def test_same_as_totals(case: tuple[Workload, Settings]) -> None:
    """Bytes by cause add up, each chunk was fetched as often as requests held it, and the link ends idle."""
    result = replay(case[0], None, case[1])
    totals, causes, chunks, line = result.totals, result.causes, result.chunks, result.timeline
    assert dict(zip(causes["cause"].to_pylist(), causes["bytes"].to_pylist(), strict=True)) == totals["bytes_by_cause"]
    came = result.requests.filter(pc.equal(result.requests["failed"], 0))
    spans = zip(came["first"].to_pylist(), came["last"].to_pylist(), strict=True)
    held = [row for first, last in spans for row in range(first, last + 1)]
    assert chunks["fetched"].to_pylist() == np.bincount(held, minlength=len(chunks)).tolist()
    assert pc.sum(chunks["fetched"]).as_py() == totals["fetched"]
    assert chunks["first_ns"].null_count == chunks["fetched"].to_pylist().count(0)
    if totals["requests"]:
        assert [line[name][-1].as_py() for name in ("waiting", "flowing")] == [0, 0]
        assert line["bytes"][-1].as_py() == (pc.sum(came["length"]).as_py() or 0)
        assert min(pc.min(line[name]).as_py() for name in ("waiting", "flowing", "bytes")) == 0


def test_unread_chunks() -> None:
    """Of a replay with prefetch, chunks that only a worker asked for were prefetched as often as fetched."""
    rng = np.random.default_rng(1)
    workload = workload_of(rng, layout_of(rng, 30), 20)
    result = replay(workload, None, Settings(prefetch="whole blob", amplify_io=0))
    table = result.chunks.to_pandas()
    unread = table[table["reads"] == 0]
    assert len(unread)
    assert (unread["prefetched"] == unread["fetched"]).all()
    assert (table["prefetched"] <= table["fetched"]).all()
