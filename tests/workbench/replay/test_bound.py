"""The lower bound: never above what any policy reaches, and reached where that can be worked out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings

from storage.backend import Link
from tests.workbench.replay._cases import cases, layout_of, workload_of
from workbench.policy import prefetch
from workbench.replay import Cpu, Settings, Workload, lower_bound, replay


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(warm_up=0))
def test_nothing_is_faster(case: tuple[Workload, Settings]) -> None:
    """Whatever is prefetched, amplified, evicted or shared, no program ends sooner; not even the clairvoyant's."""
    workload, given_settings = case
    link = replace(given_settings.link, errors_ppm=0)
    for chosen in (given_settings.prefetch, "clairvoyant"):
        result = replay(workload, None, replace(given_settings, link=link, prefetch=chosen))
        assert (result.ended_ns - result.began_ns >= lower_bound(workload, result.settings)).all()


def test_reached_by_the_clairvoyant() -> None:
    """One reader behind a slow link, chunks of one size: prefetching in the order of use is within 1 % of the bound."""
    rng = np.random.default_rng(3)
    layout = layout_of(rng, 200)
    workload = workload_of(rng, layout, 150, think=0)
    link = Link(rtt_ns=1_000_000, bandwidth=1_000_000)
    result = replay(workload, None, Settings(prefetch="clairvoyant", amplify_io=0, link=link, cpu=Cpu(0, 0, 0, 0)))
    bound = lower_bound(workload, result.settings).sum()
    assert 1 <= result.time_to_last_read_ns / bound < 1.05
    assert result.above_bound == result.time_to_last_read_ns / bound - 1
    assert "above what any prefetch could reach" in repr(result)


def test_names_of_prefetch() -> None:
    """Every name makes a policy of that name."""
    assert all(prefetch.get(name).name == name for name in prefetch.names())
