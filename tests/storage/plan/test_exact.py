"""Plan `exact`, on tables small enough to see what must happen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ConfigError
from storage.plan import (
    ABSENT,
    EXACT,
    PREFETCH,
    READY,
    USER,
    Decider,
    Layout,
    Options,
    Read,
    Segments,
    batch_end,
    keep_all,
    plan_options,
)
from storage.plan._state import PENDING
from storage.testing.actions import Action, finish, step

OPTIONS = Options(EXACT, amplify=0, batch=1000, gap=10, prefetch=1000)


def decider(layout: Layout, options: Options = OPTIONS, ready: Iterable[int] = ()) -> Decider:
    """An unbounded cache in which the chunks `ready` are."""
    made = Decider(layout, options, None, keep_all)
    made.open(tuple(ready))
    return made


def begin(machine: Decider, rows: Sequence[int], kind: int = USER) -> Read:
    """A read of whole chunks."""
    return machine.begin(Segments(rows, [0] * len(rows), [4096] * len(rows)), kind)


def run(machine: Decider, rows: Sequence[int], kind: int = USER) -> list[Action]:
    """All actions of a read that nobody disturbs."""
    return finish(machine, begin(machine, rows, kind))


NEIGHBOURS = [(0, 100), (100, 100), (200, 100), (300, 100)]


def test_neighbours_are_one_request(table: Callable[..., Layout]) -> None:
    """Absent neighbours are fetched at once; read again, they are served at once."""
    machine = decider(table(*NEIGHBOURS))
    assert run(machine, [0, 1, 2, 3]) == [("fetch", 0, 3)]
    assert run(machine, [0, 1, 2, 3]) == [("serve", 0, 1, 2, 3)]


def test_ready_ones_cut_a_read(table: Callable[..., Layout]) -> None:
    """What is ready is not fetched, and what lies on both sides of it are two requests."""
    machine = decider(table(*NEIGHBOURS), ready=[1])
    assert run(machine, [0, 1, 2, 3]) == [("fetch", 0, 0), ("serve", 1), ("fetch", 2, 3)]


@pytest.mark.parametrize(("gap", "actions"), [(10, [("fetch", 0, 1)]), (11, [("fetch", 0, 0), ("fetch", 1, 1)])])
def test_gap(gap: int, actions: list[Action], table: Callable[..., Layout]) -> None:
    """Bytes of nobody's use are fetched along if they are no more than the gap allows."""
    assert run(decider(table((0, 100), (100 + gap, 100))), [0, 1]) == actions


def test_small_chunks_in_the_gap(table: Callable[..., Layout]) -> None:
    """An absent chunk in a gap is taken with the rest; one that is there already keeps the two apart."""
    layout = table((0, 100), (100, 8), (108, 100))
    assert run(decider(layout), [0, 2]) == [("fetch", 0, 2)]
    assert run(decider(layout, ready=[1]), [0, 2]) == [("fetch", 0, 0), ("fetch", 2, 2)]


def test_batch(table: Callable[..., Layout]) -> None:
    """A request goes on until it has the batch's bytes: the chunk that reaches it is the last."""
    layout = table((0, 600), (600, 399), (999, 5), (1004, 5))
    assert run(decider(layout), [0, 1, 2, 3]) == [("fetch", 0, 2), ("fetch", 3, 3)]


def test_order_is_the_reads(table: Callable[..., Layout]) -> None:
    """Chunks that come in descending order, or again, are not merged; nor are two blobs' chunks."""
    layout = table((0, 100), (100, 100), (0, 100), blob=(0, 0, 1))
    assert run(decider(layout), [1, 0]) == [("fetch", 1, 1), ("fetch", 0, 0)]
    assert run(decider(layout), [0, 0]) == [("fetch", 0, 0), ("serve", 0)]
    assert run(decider(layout), [1, 2]) == [("fetch", 1, 1), ("fetch", 2, 2)]


@pytest.mark.parametrize(("window", "last"), [(0, 0), (199, 0), (200, 1), (299, 1), (1000, 3)])
def test_amplify(window: int, last: int, table: Callable[..., Layout]) -> None:
    """The request is widened by the chunks that end within the window from its first byte."""
    machine = decider(table(*NEIGHBOURS), Options(EXACT, window, 1000, 10, 1000))
    assert run(machine, [0]) == [("fetch", 0, last)]
    assert list(machine.state.status) == [READY] * (last + 1) + [ABSENT] * (3 - last)


def test_amplify_ends_at(table: Callable[..., Layout]) -> None:
    """Widening ends at a chunk that is there, at one whose digest nobody knows, and at the end of the blob."""
    options = Options(EXACT, 1000, 1000, 10, 1000)
    assert run(decider(table(*NEIGHBOURS), options, ready=[2]), [0]) == [("fetch", 0, 1)]
    assert run(decider(table(*NEIGHBOURS, known=(1, 0, 1, 1)), options), [0]) == [("fetch", 0, 0)]
    assert run(decider(table(*NEIGHBOURS, blob=(0, 0, 1, 1)), options), [0]) == [("fetch", 0, 1)]


def test_unknown_chunks_are_not_kept(table: Callable[..., Layout]) -> None:
    """A chunk without a digest is fetched for every read, and is absent in between."""
    machine = decider(table(*NEIGHBOURS, known=(0, 1, 1, 1)))
    assert run(machine, [0]) == run(machine, [0]) == [("fetch", 0, 0)]
    assert machine.state.status[0] == ABSENT


def test_another_waits_for_what_is_claimed(table: Callable[..., Layout]) -> None:
    """Of two reads the second waits for chunks that the first claimed, amplified ones too, and is then served."""
    machine = decider(table(*NEIGHBOURS), Options(EXACT, 200, 1000, 10, 1000))
    one, two = begin(machine, [0]), begin(machine, [1, 2])
    assert step(machine, one) == ("fetch", 0, 1)
    assert step(machine, two) == ("wait", 1)
    assert list(machine.state.status) == [PENDING, PENDING, ABSENT, ABSENT]
    machine.arrive(one)
    assert step(machine, two) == ("wait", 1)
    machine.persisted(one)
    assert step(machine, one) == ("complete",)
    assert step(machine, two) == ("serve", 1)
    machine.served(two)
    assert step(machine, two) == ("fetch", 2, 3)


def test_claims_of_a_failed_read_are_free(table: Callable[..., Layout]) -> None:
    """When the first read fails, the second one fetches what it had claimed."""
    machine = decider(table(*NEIGHBOURS), Options(EXACT, 200, 1000, 10, 1000))
    one, two = begin(machine, [0]), begin(machine, [1])
    assert step(machine, one) == ("fetch", 0, 1)
    assert step(machine, two) == ("wait", 1)
    machine.abandon(one)
    assert step(machine, two) == ("fetch", 1, 2)
    machine.abandon(two)
    assert set(machine.state.status) == {ABSENT}
    assert list(machine.state.counters) == [0, -1, 0, 0, -1, -1, 0]


def test_prefetch_steps_back(table: Callable[..., Layout]) -> None:
    """A prefetch passes over what is ready or claimed, and yields while a user read is blocked."""
    machine = decider(table(*NEIGHBOURS), ready=[2])
    user, ahead = begin(machine, [1]), begin(machine, [0, 1, 2, 3], PREFETCH)
    assert step(machine, user) == ("fetch", 1, 1)
    assert step(machine, ahead) == ("yield",)
    machine.arrive(user)
    machine.persisted(user)
    assert step(machine, ahead) == ("yield",)
    assert step(machine, user) == ("complete",)
    assert step(machine, ahead) == ("fetch", 0, 0)
    machine.arrive(ahead)
    machine.persisted(ahead)
    assert step(machine, ahead) == ("fetch", 3, 3)


def test_prefetch_batches(table: Callable[..., Layout]) -> None:
    """A prefetch list is cut where neighbours end, and where a batch is full."""
    layout = table((0, 600), (600, 600), (1200, 600), (5000, 10))
    ends, pos, rows = [], 0, [0, 1, 2, 3, 0]
    while pos < len(rows):
        pos = batch_end(layout, OPTIONS, rows, pos)
        ends.append(pos)
    assert ends == [2, 3, 4, 5]


def test_options_by_name() -> None:
    """Under `reference` anything below 128 KiB counts as 128 KiB; under `exact` only batches do."""
    small, large = 128 << 10, 1 << 20
    assert plan_options("exact", 0) == (0, 0, small, small >> 7, small, 0)
    assert plan_options("exact", large) == (0, large, large, large >> 7, large, 0)
    assert plan_options("exact", 0, prefetch_batch=large) == (0, 0, small, small >> 7, large, 0)
    assert plan_options("reference", 0) == (1, small, small, small >> 7, small, 0)
    assert plan_options("reference", large, prefetch_batch=1) == (1, large, large, large >> 7, small, 0)
    with pytest.raises(ConfigError) as refused:
        plan_options(prefetch_batch=(256 << 20) + 1)
    assert refused.value.where == {"field": "prefetch_batch"}


@given(
    sizes=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 300)), min_size=1, max_size=12),
    window=st.sampled_from([0, 100, 1000]),
    reads=st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=6), min_size=1, max_size=4),
    order=st.lists(st.integers(0, 3), max_size=60),
)
def test_nothing_is_claimed_twice(
    sizes: list[tuple[int, int]], window: int, reads: list[list[int]], order: list[int]
) -> None:
    """However reads interleave, a chunk lies in one request only, and every read ends."""
    ends = np.cumsum([gap + size for gap, size in sizes])
    count = len(sizes)
    layout = Layout(
        np.zeros(count, np.int64),
        ends - np.array([size for _, size in sizes]),
        ends,
        np.arange(count, dtype=np.int64) * 4096,
        np.full(count, 4096, np.int64),
        np.ones(count, np.uint8),
        np.arange(count),
        np.zeros(count, np.uint8),
    )
    machine = decider(layout, Options(EXACT, window, 1000, 10, 1000))
    under_way = [begin(machine, [row % count for row in rows]) for rows in reads]
    last: dict[int, Action] = dict.fromkeys(range(len(reads)), ("begun",))
    fetched: list[int] = []
    turns = [*(turn % len(reads) for turn in order), *[i for _ in range(60) for i in range(len(reads))]]
    for turn in turns:
        read = under_way[turn]
        if last[turn][0] == "fetch":
            machine.arrive(read)
            machine.persisted(read)
        elif last[turn][0] == "serve":
            machine.served(read)
        if last[turn] != ("complete",):
            last[turn] = step(machine, read)
        if last[turn][0] == "fetch":
            fetched += read.chunks
    assert set(last.values()) == {("complete",)}
    assert len(fetched) == len(set(fetched))
    assert {row % count for rows in reads for row in rows} <= set(fetched)
    assert set(machine.state.pins) == {0}
