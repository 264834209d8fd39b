"""The link: exact times where they can be worked out by hand, and laws where not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.backend import LINKS, Link
from storage.backend._draws import RANGE, draw, quantile_of, tries_of
from storage.backend._link import FOREVER, LinkState, carry_to, flow_begin, flow_done, next_change, send
from storage.backend._shape import new_link

SECOND = 1_000_000_000


def idle(flows: int, bandwidth: int, **more: int) -> LinkState:
    """A link with a connection for each flow."""
    return new_link(Link(bandwidth=bandwidth, connections=flows, **more))


def drain(flows: list[tuple[int, int]], bandwidth: int, **more: int) -> list[int]:
    """When each flow, given as (begin, bytes) in order of begin, ends."""
    link = idle(len(flows), bandwidth, **more)
    ends = [-1] * len(flows)
    begun = 0
    while -1 in ends:
        begin = flows[begun][0] if begun < len(flows) else FOREVER
        now = min(begin, next_change(link))
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
    link, coarse = idle(len(flows), bandwidth), idle(len(flows), bandwidth)
    for both in (link, coarse):
        for slot, (_, length) in enumerate(flows):
            flow_begin(both, 0, slot, length)
    for look in sorted(looks):
        carry_to(link, look)
    end = max([*looks, 0])
    carry_to(coarse, end)
    assert link.left.tolist() == coarse.left.tolist()


def test_a_connection_has_its_cap() -> None:
    """Of 900 bytes a second a connection may have 400: alone it has no more, and with one other neither."""
    assert drain([(0, 400)], 900, connection_bandwidth=400) == [SECOND]
    quarter = SECOND // 4
    assert drain([(0, 400), (0, 400), (0, 300)], 900, connection_bandwidth=400) == [5 * quarter, 5 * quarter, SECOND]


def test_a_connection_starts_slowly() -> None:
    """100 bytes in the first round trip, 200 in the second, 400 in the third: 700 bytes take three."""
    link = {"rtt_ns": 10_000_000, "window": 100}
    assert drain([(0, 700)], 1_000_000, **link) == [30_000_000]
    assert drain([(0, 50)], 1_000_000, **link) == [5_000_000]


def test_a_busy_connection_keeps_its_speed() -> None:
    """The next transfer over a connection goes on as fast as the last, and slowly again after a pause."""
    link = idle(1, 1_000_000, rtt_ns=10_000_000, window=100)
    ends = []
    for pause in (0, 10_000_000, SECOND):
        begin = int(link.clock[0]) + pause
        flow_begin(link, begin, 0, 700)
        while not flow_done(link, next_change(link), 0):
            pass
        ends.append(int(link.clock[0]) - begin)
    assert ends == [30_000_000, 13_750_000, 30_000_000]  # 400 in the fourth round trip, too, 300 of 800 in the fifth


def test_requests_are_spaced() -> None:
    """With ten requests a second, the third of three at once is sent 200 ms later."""
    link = idle(4, 1000, rtt_ns=5, requests_per_second=10)
    assert [send(link, 0) for _ in range(3)] == [5, SECOND // 10 + 5, SECOND // 5 + 5]
    assert send(link, 7 * SECOND) == 7 * SECOND + 5


def test_each_try_takes_a_round_trip() -> None:
    """A request that was refused twice has its first byte after three round trips; if all are, the retries are up."""
    link = idle(1, 1000, rtt_ns=7, errors_ppm=500_000, retries=3, seed=3)
    expected = [tries_of(3, number, 500_000, 3) for number in range(200)]
    assert [send(link, 0) for _ in range(200)] == [7 * abs(tries) for tries in expected]
    assert set(expected) == {1, 2, 3, 4, -4}
    assert tries_of(3, 0, 1_000_000, 3) == -4
    assert tries_of(3, 0, 0, 3) == 1


KEYS = st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 20))


@given(KEYS, st.lists(st.integers(0, 1 << 40), min_size=1, max_size=9).map(sorted))
def test_draws_are_keyed(key: tuple[int, int, int], quantiles: list[int]) -> None:
    """The same key gives the same number, and a draw of a distribution lies between its ends."""
    assert 0 <= draw(*key) < RANGE
    assert draw(*key) == draw(*key)
    assert quantiles[0] <= quantile_of(quantiles, draw(*key)) <= quantiles[-1]


def test_draws_spread() -> None:
    """Over many requests each step of a distribution has its share, and seeds differ."""
    draws = [quantile_of((0, 1000, 10_000), draw(1, request, 1)) for request in range(4000)]
    assert 0.48 < sum(value < 1000 for value in draws) / len(draws) < 0.52
    assert 5_300 < sum(value for value in draws if value >= 1000) / sum(value >= 1000 for value in draws) < 5_700
    assert draws != [quantile_of((0, 1000, 10_000), draw(2, request, 1)) for request in range(4000)]


def test_links_by_name() -> None:
    """The links that are shipped are those that people speak of."""
    assert set(LINKS) == {"lan", "registry-20ms", "5ms-200Mbit", "s3", "wan", "4g"}
    assert (LINKS["5ms-200Mbit"].rtt_ns, LINKS["5ms-200Mbit"].bandwidth) == (5_000_000, 25_000_000)
