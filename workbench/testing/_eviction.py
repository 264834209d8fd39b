"""A conformance suite for eviction policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.plan import COMPLETE, FETCH, READY, SERVE, Decider, Layout, Policy, Segments, plan_options, rerun
from storage.testing.policies import PolicyConformance, misses
from workbench.policy import EvictionPolicy
from workbench.policy._hits import InBulk
from workbench.simulate import ObjectTrace, simulate

__all__ = ["OBJECTS", "REQUESTS", "SIZES", "EvictionConformance", "lenient"]

OBJECTS = 12
SIZES = st.lists(st.integers(1, 5), min_size=OBJECTS, max_size=OBJECTS)
REQUESTS = st.lists(st.integers(0, OBJECTS - 1), min_size=1, max_size=120)
lenient = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.differing_executors])


def _trace(requests: Sequence[int], sizes: Sequence[int]) -> tuple[ObjectTrace, list[int], list[int]]:
    """The requests as a trace; the same with its numbers of objects, and their sizes."""
    trace = ObjectTrace.from_arrays(requests, np.asarray(sizes)[list(requests)])
    return trace, trace.objects.tolist(), trace.sizes.tolist()


class EvictionConformance(PolicyConformance):
    """Subclass it as ``TestSomething`` and give it a `policy`."""

    policy: EvictionPolicy

    def make(self, chunks: int) -> tuple[Policy, tuple[int, int]]:
        """The policy's functions and arenas."""
        return self.policy.functions, self.policy.arena(chunks)

    @lenient
    @given(REQUESTS, SIZES, st.integers(1, 30))
    def test_simulated_as_by_hand(self, requests: list[int], sizes: list[int], capacity: int) -> None:
        """The untimed engine misses as often as the functions, called one by one, say; and again as often."""
        trace, objects, known = _trace(requests, sizes)
        outcome = simulate(trace, self.policy, capacity)
        assert outcome.misses == misses(*self.make(len(known)), known, capacity, objects)
        assert simulate(trace, self.policy, capacity) == outcome

    def test_hits_at_once(self) -> None:
        """Hits that are told many at a time, by compiled code where it is compiled, are as good as told one by one."""
        hits = np.random.default_rng(1).integers(0, OBJECTS, 600)
        assert _order(self, [hits[at : at + 1] for at in range(len(hits))]) == _order(self, [hits])

    @lenient
    @given(REQUESTS, SIZES, st.integers(1, 30))
    def test_live_as_simulated(self, requests: list[int], sizes: list[int], capacity: int) -> None:
        """A live store's decider fetches what the untimed engine misses, keeps to its capacity, and does so again."""
        trace, objects, known = _trace(requests, sizes)
        live = _decider(self, known, capacity)
        fetched = [_read(live, chunk, known, capacity) for chunk in objects]
        assert sum(fetched) == simulate(trace, self.policy, capacity).misses
        journal = list(live.journal or ())
        assert rerun(journal, _decider(self, known, capacity)) == len(journal)


def _order(suite: EvictionConformance, told: Sequence[npt.NDArray[np.int64]]) -> list[int]:
    """In which order all chunks go, after hits that are told in so many pieces."""
    table = suite.table()
    for chunk in range(OBJECTS):
        table.admit(chunk)
    functions = table.functions
    if isinstance(functions, InBulk):
        functions.wait()
    for hits in told:
        functions.on_hits(table.ints, table.floats, hits)
    return table.drain()


def _decider(suite: EvictionConformance, sizes: list[int], capacity: int) -> Decider:
    chunks = len(sizes)
    ends = np.cumsum(sizes)
    layout = Layout(
        blob=np.zeros(chunks, np.int64),
        start=ends - sizes,
        end=ends,
        offset=ends - sizes,
        size=np.asarray(sizes),
        known=np.ones(chunks, np.uint8),
        unit=np.arange(chunks),
        kind=np.zeros(chunks, np.uint8),
    )
    functions, arena = suite.make(chunks)
    decider = Decider(layout, plan_options("exact", 0), capacity, functions, arena, journal=True)
    decider.open([])
    return decider


def _read(decider: Decider, chunk: int, sizes: list[int], capacity: int) -> bool:
    """Read a whole chunk as a store does. Returns whether it was fetched."""
    read, fetched = decider.begin(Segments([chunk], [0], [sizes[chunk]])), False
    while (action := decider.advance(read)) != COMPLETE:
        if action == SERVE:
            decider.served(read)
            continue
        assert action == FETCH
        fetched = True
        for victim in decider.arrive(read):
            decider.evicted(victim)
        decider.persisted(read)
    stored: Any = sum(size for size, status in zip(sizes, decider.state.status, strict=True) if status == READY)
    assert stored <= capacity
    return fetched
