"""The lower bound: never above what any policy reaches, and reached where that can be worked out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings

from storage.backend import Link
from tests.workbench.replay._cases import cases, layout_of, workload_of
from workbench.replay import Cpu, Settings, Workload, lower_bound, replay


def in_order_of_use(workload: Workload) -> list[int]:
    """Chunk rows, the first to be read first."""
    return list(dict.fromkeys(workload.segments.chunk.tolist()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_nothing_is_faster(case: tuple[Workload, Settings]) -> None:
    """Whatever is prefetched, amplified, evicted or shared, no program ends sooner; nor with chunks in order of use."""
    workload, chosen = case
    link = replace(chosen.link, errors_ppm=0)
    for prefetch in (chosen.prefetch, in_order_of_use(workload)):
        result = replay(workload, None, replace(chosen, link=link, prefetch=prefetch))
        assert (result.ended_ns >= lower_bound(workload, result.settings)).all()


def test_reached() -> None:
    """One reader behind a slow link: prefetching in the order of use is within 5 % of the bound."""
    rng = np.random.default_rng(3)
    layout = layout_of(rng, 200)
    workload = workload_of(rng, layout, 150, think=0)
    link, free = Link(rtt_ns=1_000_000, bandwidth=1_000_000), Cpu(0, 0, 0, 0)
    given_settings = Settings(prefetch=in_order_of_use(workload), amplify_io=0, link=link, cpu=free)
    result = replay(workload, None, given_settings)
    bound = lower_bound(workload, result.settings).sum()
    assert 1 <= result.time_to_last_read_ns / bound < 1.05
    assert result.above_bound == result.time_to_last_read_ns / bound - 1
    assert "above what any prefetch could reach" in repr(result)
