"""Several clients: a cache each and one link, or one cache for all."""

from __future__ import annotations

import numpy as np
import pytest

from storage.backend import Link
from storage.errors import TraceError
from tests.workbench.replay._cases import layout_of, workload_of
from workbench.replay import Cpu, Settings, Workload, fleet, replay, together

FAST = Settings(amplify_io=0, link=Link(rtt_ns=1_000, bandwidth=10**9, connections=64), cpu=Cpu(0, 0, 0, 0))


@pytest.fixture
def workload() -> Workload:
    """One thread over 30 chunks."""
    rng = np.random.default_rng(4)
    layout = layout_of(rng, 30)
    return workload_of(rng, layout._replace(known=np.ones(30, np.uint8)), 60)


def test_a_fleet_of_one(workload: Workload) -> None:
    """It is that one."""
    assert replay(fleet([workload]), None, FAST).totals == replay(workload, None, FAST).totals


def test_clients_have_their_own_caches(workload: Workload) -> None:
    """Four clients fetch four times as much as one, and take four times as long where bandwidth is all."""
    alone, four = replay(workload, None, FAST), replay(fleet([workload] * 4), None, FAST)
    assert four.totals["bytes_received"] == 4 * alone.totals["bytes_received"]
    slow = Settings(link=Link(rtt_ns=0, bandwidth=100_000, connections=64), cpu=Cpu(0, 0, 0, 0))
    ratio = replay(fleet([workload] * 4), None, slow).clients["time_to_last_read_ns"] / (
        replay(workload, None, slow).time_to_last_read_ns
    )
    assert (ratio > 3.5).all()
    assert (ratio < 4.5).all()


def test_one_starts_later(workload: Workload) -> None:
    """A client that starts when the others are through takes as long as alone."""
    alone = replay(workload, None, FAST).time_to_last_read_ns
    result = replay(fleet([workload, workload], [0, 10 * alone]), None, FAST)
    assert result.clients["time_to_last_read_ns"].tolist() == [alone, alone]


def test_together_on_one_cache(workload: Workload) -> None:
    """Two that run together fetch each chunk once between them."""
    alone, both = replay(workload, None, FAST), replay(together([workload, workload]), None, FAST)
    assert both.totals["bytes_received"] == alone.totals["bytes_received"]
    assert both.totals["bytes_asked"] == 2 * alone.totals["bytes_asked"]


def test_no_such_fleet(workload: Workload) -> None:
    """Clients of different images, and no clients, are refused."""
    other = workload_of(np.random.default_rng(9), layout_of(np.random.default_rng(9), 30), 10)
    for wrong in ([], [workload, other]):
        with pytest.raises(TraceError):
            fleet(wrong)
