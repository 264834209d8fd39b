"""The link: exact times where they can be worked out by hand, and laws where not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.backend._link import FOREVER, carry_to, flow_begin, flow_done, jitter_of, new_link, next_end

SECOND = 1_000_000_000


def drain(flows: list[tuple[int, int]], bandwidth: int) -> list[int]:
    """When each flow, given as (begin, bytes) in order of begin, ends."""
    link = new_link(len(flows), bandwidth)
    ends = [-1] * len(flows)
    begun = 0
    while -1 in ends:
        begin = flows[begun][0] if begun < len(flows) else FOREVER
        now = min(begin, next_end(link))
        carry_to(link, now)
        if now == begin:
            flow_begin(link, now, begun, flows[begun][1])
            begun += 1
        for slot in range(begun):
            if ends[slot] < 0 and flow_done(link, now, slot):
                ends[slot] = now
    return ends


def test_one_flow_has_all_of_it() -> None:
    """1000 bytes at 1000 bytes a second take a second."""
    assert drain([(5, 1000)], 1000) == [5 + SECOND]


def test_two_share_fairly() -> None:
    """Of two equal transfers that begin together, both take twice as long."""
    assert drain([(0, 1000), (0, 1000)], 1000) == [2 * SECOND, 2 * SECOND]


def test_what_is_left_goes_to_the_others() -> None:
    """A short transfer slows a long one only while it lasts."""
    assert drain([(0, 3000), (0, 1000)], 1000) == [4 * SECOND, 2 * SECOND]


def test_odd_rest_goes_to_the_lowest_slot() -> None:
    """Three bytes a second for two: the first gets two of them."""
    assert drain([(0, 2), (0, 2)], 3) == [SECOND, SECOND + SECOND // 3 + 1]


FLOWS = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 10_000)), min_size=1, max_size=8).map(sorted)


@given(FLOWS, st.integers(100, 50_000))
def test_work_is_conserved(flows: list[tuple[int, int]], bandwidth: int) -> None:
    """The last byte is through when a single queue would have it through, to a nanosecond a flow."""
    alone = 0
    for begin, length in flows:
        alone = max(alone, begin * bandwidth) + length * SECOND
    slack = len(flows) * (bandwidth + 1)
    assert 0 <= max(drain(flows, bandwidth)) * bandwidth - alone <= slack


@given(FLOWS, st.integers(100, 50_000), st.lists(st.integers(0, 5 * SECOND), max_size=20))
def test_looking_changes_nothing(flows: list[tuple[int, int]], bandwidth: int, looks: list[int]) -> None:
    """Carrying forward in many small steps gives the times of one large step, to rounding."""
    link, coarse = new_link(len(flows), bandwidth), new_link(len(flows), bandwidth)
    for both in (link, coarse):
        for slot, (_, length) in enumerate(flows):
            flow_begin(both, 0, slot, length)
    for look in sorted(looks):
        carry_to(link, look)
    end = max([*looks, 0])
    carry_to(coarse, end)
    assert link.left.tolist() == coarse.left.tolist()


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(1, 1 << 30))
def test_jitter_is_keyed(seed: int, request: int, jitter: int) -> None:
    """The same key gives the same number, within bounds."""
    assert 0 <= jitter_of(seed, request, jitter) < jitter
    assert jitter_of(seed, request, jitter) == jitter_of(seed, request, jitter)


def test_jitter_spreads() -> None:
    """Over many requests the mean is about half, and seeds differ."""
    draws = [jitter_of(1, request, 1000) for request in range(4000)]
    assert 480 < sum(draws) / len(draws) < 520
    assert draws != [jitter_of(2, request, 1000) for request in range(4000)]
