"""The bucket that holds prefetch back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.plan import MIN_BANDWIDTH, new_budget, pay, spend

SECOND = 1_000_000_000
RATE = 32 << 20


def test_low_limits_are_raised() -> None:
    """Less than 16 MiB a second is 16 MiB a second, as a chunk may be that large."""
    budget = new_budget(1, 0)
    assert pay(budget, MIN_BANDWIDTH, 0) == 0
    assert pay(budget, MIN_BANDWIDTH, 0) == SECOND


def test_a_full_bucket_and_then_the_rate() -> None:
    """A second's worth begins at once; then each request waits until what it asks for has flowed in."""
    budget = new_budget(RATE, 5)
    assert [pay(budget, RATE // 4, 5) for _ in range(4)] == [5] * 4
    assert [pay(budget, RATE // 4, 5) for _ in range(3)] == [5 + SECOND * n // 4 for n in (1, 2, 3)]
    assert pay(budget, RATE // 2, 5 + 10 * SECOND) == 5 + 10 * SECOND


def test_users_draw_on_it() -> None:
    """What users read is paid for by the next prefetch, once; never more than two buckets at a time."""
    budget = new_budget(RATE, 0)
    spend(budget, RATE // 2)
    spend(budget, RATE // 2)
    assert pay(budget, RATE // 2, 0) == SECOND // 2
    assert pay(budget, RATE // 2, SECOND // 2) == SECOND
    spend(budget, 100 * RATE)
    assert pay(budget, RATE // 2, SECOND) == 3 * SECOND


@given(st.lists(st.tuples(st.integers(0, RATE), st.integers(0, SECOND)), min_size=1, max_size=30))
def test_never_above_the_rate(requests: list[tuple[int, int]]) -> None:
    """In whatever steps it is asked: what began until a time is at most a bucket and what flowed in since."""
    budget, now, paid = new_budget(RATE, 0), 0, 0
    for size, pause in requests:
        now += pause
        begin = pay(budget, size, now)
        assert begin >= now
        paid += size
        assert paid <= RATE + begin * RATE // SECOND + 1
        now = begin
