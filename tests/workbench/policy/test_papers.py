"""Policies of which there is no other implementation to count with: equal to slow ones written from the papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workbench.policy import _papers
from tests.workbench.simulate._traces import traces
from workbench.simulate import ObjectTrace, simulate

PAGES = 40
Reference = Callable[[Sequence[int], int, int], int]


def requests_of(seed: int, length: int, skew: float) -> list[int]:
    """Requests for pages: some more popular than others, a scan now and then, popularity that shifts."""
    rng = np.random.default_rng(seed)
    popular = np.minimum(rng.zipf(skew, length) - 1, PAGES - 1)
    shifted = (popular + 13 * (np.arange(length) * 3 // length)) % PAGES
    return np.where(rng.random(length) < 0.7, shifted, np.arange(length) % PAGES).tolist()


TRACES = st.builds(requests_of, st.integers(0, 2**32), st.integers(1, 1500), st.sampled_from([1.1, 1.4, 2.0]))
law = settings(deadline=None, max_examples=60)


def compare(name: str, reference: Reference, requests: list[int], capacity: int) -> None:
    """The policy misses as often as the reference."""
    trace = ObjectTrace.from_arrays(requests, 1)
    numbered = trace.objects.tolist()
    assert simulate(trace, name, capacity).misses == reference(numbered, len(trace.sizes), capacity)


@law
@given(TRACES, st.integers(2, PAGES + 5))
def test_lirs(requests: list[int], capacity: int) -> None:
    """LIRS, from the stack and the queue of the paper's figures, which want a page each."""
    compare("lirs", lambda pages, _, size: _papers.lirs(pages, size), requests, capacity)


@law
@given(TRACES, st.integers(1, PAGES + 5))
def test_tinylfu(requests: list[int], capacity: int) -> None:
    """LRU behind TinyLFU: counts halved when they are looked at decide as those that are halved at once."""
    compare("lru+tinylfu", _papers.tinylfu, requests, capacity)


@law
@given(TRACES, st.integers(1, PAGES + 5))
def test_w_tinylfu(requests: list[int], capacity: int) -> None:
    """W-TinyLFU without a window, which is then as long as one newcomer."""
    compare("w-tinylfu", _papers.w_tinylfu, requests, capacity)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.integers(100, 450))
def test_w_tinylfu_with_window(seed: int, capacity: int) -> None:
    """W-TinyLFU with a window of one to four pages."""
    requests = np.minimum(np.random.default_rng(seed).zipf(1.15, 6000) - 1, 600).tolist()
    compare("w-tinylfu", _papers.w_tinylfu, requests, capacity)


@law
@given(TRACES, st.lists(st.integers(1, 9), min_size=PAGES, max_size=PAGES), st.integers(5, 120))
def test_lfuda(requests: list[int], sizes: list[int], capacity: int) -> None:
    """LFU with dynamic aging, of objects of several sizes."""
    trace = ObjectTrace.from_arrays(requests, np.asarray(sizes)[requests])
    numbered, known = trace.objects.tolist(), trace.sizes.tolist()
    assert simulate(trace, "lfuda", capacity).misses == _papers.lfuda(numbered, known, capacity)


def test_cacheus_is_no_worse_than_its_experts() -> None:
    """CACHEUS misses less than LeCaR on each kind of trace, as its paper says, and on loops far less than LRU."""
    for name, trace in traces(sized=False).items():
        size = len(trace.sizes) // 3
        learnt, before, lru = (simulate(trace, policy, size).misses for policy in ("cacheus", "lecar", "lru"))
        assert learnt < before, name
        assert name != "loops" or learnt < 0.9 * lru
