"""Plan `reference`: what it does as nydusd does, where `exact` would do better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest

from storage.image.tables import ZRAN
from storage.plan import (
    ABSENT,
    READY,
    REFERENCE,
    Decider,
    Layout,
    Options,
    Read,
    Segments,
    keep_all,
)
from storage.testing.actions import Action, finish, step

NEIGHBOURS = [(100 * row, 100) for row in range(8)]


def decider(layout: Layout, amplify: int = 100, ready: Iterable[int] = (), batch: int = 1000) -> Decider:
    """An unbounded cache in which the chunks `ready` are."""
    machine = Decider(layout, Options(REFERENCE, amplify, batch, 10, batch), None, keep_all)
    machine.open(tuple(ready))
    return machine


def begin(machine: Decider, rows: Sequence[int], offset: int = 0, last: int = 4096) -> Read:
    """A read of whole chunks, but from `offset` of the first on, and to `last` of the last one."""
    lengths = [4096] * (len(rows) - 1) + [last]
    lengths[0] -= offset
    return machine.begin(Segments(rows, [offset] + [0] * (len(rows) - 1), lengths))


def run(machine: Decider, rows: Sequence[int], offset: int = 0, last: int = 4096) -> list[Action]:
    """All actions of a read that nobody disturbs."""
    actions = finish(machine, begin(machine, rows, offset, last))
    assert set(machine.state.pins) == {0}
    return actions


def test_neighbours_are_one_request(table: Callable[..., Layout]) -> None:
    """Absent neighbours are fetched at once, and then served at once."""
    machine = decider(table(*NEIGHBOURS))
    assert run(machine, [0, 1, 2, 3]) == [("fetch", 0, 3)]
    assert run(machine, [0, 1, 2, 3]) == [("serve", 0, 1, 2, 3)]


def test_pieces_of_a_stream_follow_each_other(table: Callable[..., Layout]) -> None:
    """Chunks of a gzip stream whose contexts overlap are one range, as their own bytes do not."""
    layout = table((0, 250), (200, 250), (200, 250), (400, 250))
    assert run(decider(layout, ready=range(4)), range(4)) == [("serve", 0), ("serve", 1), ("serve", 2), ("serve", 3)]
    layout.kind[:] = ZRAN
    assert run(decider(layout, ready=range(4)), range(4)) == [("serve", 0, 1, 2, 3)]
    assert run(decider(layout, ready=range(4), batch=400), range(4)) == [("serve", 0, 1), ("serve", 2, 3)]


@pytest.mark.parametrize(("window", "last"), [(100, 0), (299, 1), (300, 2), (5000, 7)])
def test_amplify(window: int, last: int, table: Callable[..., Layout]) -> None:
    """The request is widened by the chunks that end within the window from its first byte."""
    assert run(decider(table(*NEIGHBOURS), window), [0]) == [("fetch", 0, last)]


def test_ready_at_the_tail_is_left_out(table: Callable[..., Layout]) -> None:
    """Ready chunks at the end of what was widened are not asked for."""
    assert run(decider(table(*NEIGHBOURS), 500, ready=[3, 4, 5]), [0]) == [("fetch", 0, 2)]
    assert run(decider(table(*NEIGHBOURS), 500, ready=[1, 2, 3, 4]), [0]) == [("fetch", 0, 0)]


def test_ready_inside_is_fetched_again(table: Callable[..., Layout]) -> None:
    """A ready chunk with an absent one behind it, within the window, is asked for a second time."""
    machine = decider(table(*NEIGHBOURS), 500, ready=[1, 3])
    assert run(machine, [0]) == [("fetch", 0, 4)]
    assert list(machine.state.status) == [READY] * 5 + [ABSENT] * 3


def test_ready_between_is_served_between(table: Callable[..., Layout]) -> None:
    """A read over absent, ready and absent chunks has two requests; the first is widened over both."""
    assert run(decider(table(*NEIGHBOURS), 100, ready=[1]), [0, 1, 2]) == [
        ("fetch", 0, 0),
        ("serve", 1),
        ("fetch", 2, 2),
    ]
    # The second was claimed before the first was made, and so is asked for though it has come by then.
    assert run(decider(table(*NEIGHBOURS), 300, ready=[1]), [0, 1, 2]) == [
        ("fetch", 0, 2),
        ("serve", 1),
        ("fetch", 2, 4),
    ]


def test_user_data_must_be_continuous(table: Callable[..., Layout]) -> None:
    """A region ends where the user's bytes do: after half a chunk, the next one is a request of its own."""
    read_twice = decider(table(*NEIGHBOURS))
    read = read_twice.begin(Segments([0, 1], [0, 0], [2000, 4096]))
    assert step(read_twice, read) == ("fetch", 0, 0)
    read_twice.arrive(read)
    read_twice.persisted(read)
    assert step(read_twice, read) == ("fetch", 1, 1)
    assert run(decider(table(*NEIGHBOURS)), [0, 1], offset=50, last=7) == [("fetch", 0, 1)]


def test_batch(table: Callable[..., Layout]) -> None:
    """A read is cut into ranges of a batch, each looked at when the one before is done."""
    machine = decider(table(*NEIGHBOURS), 100, batch=250)
    assert run(machine, range(8)) == [("fetch", 0, 2), ("fetch", 3, 5), ("fetch", 6, 7)]


def test_blobs_and_gaps_cut(table: Callable[..., Layout]) -> None:
    """Two blobs' chunks, or chunks too far apart, are never one request, widened or not."""
    assert run(decider(table((0, 100), (100, 100), blob=(0, 1)), 5000), [0, 1]) == [("fetch", 0, 0), ("fetch", 1, 1)]
    assert run(decider(table((0, 100), (111, 100))), [0, 1]) == [("fetch", 0, 0), ("fetch", 1, 1)]


def test_amplified_chunks_are_not_claimed(table: Callable[..., Layout]) -> None:
    """Two reads at once may fetch the same amplified chunk; each waits only for what the other asks itself."""
    machine = decider(table(*NEIGHBOURS), 300)
    one, two, three = begin(machine, [0]), begin(machine, [1]), begin(machine, [0, 5])
    assert step(machine, one) == ("fetch", 0, 2)
    assert step(machine, two) == ("fetch", 1, 3)
    assert step(machine, three) == ("wait", 0)
    machine.arrive(one)
    machine.arrive(two)
    machine.persisted(one)
    machine.persisted(two)
    assert list(machine.state.status) == [READY] * 4 + [ABSENT] * 4
    assert step(machine, three) == ("serve", 0)


def test_who_waits_too_long_fetches(table: Callable[..., Layout]) -> None:
    """After a wait was given up, the read asks for the chunk itself; whoever is first stores it."""
    machine = decider(table(*NEIGHBOURS))
    one, two = begin(machine, [0]), begin(machine, [0])
    assert step(machine, one) == ("fetch", 0, 0)
    assert step(machine, two) == ("wait", 0)
    machine.give_up_wait(two)
    assert step(machine, two) == ("fetch", 0, 0)
    machine.arrive(two)
    machine.persisted(two)
    machine.arrive(one)
    machine.persisted(one)
    assert step(machine, one) == step(machine, two) == ("complete",)
    assert machine.state.status[0] == READY
    assert machine.state.counters[0] == 4096
    assert set(machine.state.pins) == {0}


def test_a_failed_read_frees_and_unpins(table: Callable[..., Layout]) -> None:
    """What a read had claimed for its whole range, and pinned, is free when it fails."""
    machine = decider(table(*NEIGHBOURS), ready=[1])
    one, two = begin(machine, [0, 1, 2]), begin(machine, [2])
    assert step(machine, one) == ("fetch", 0, 0)
    assert machine.state.pins[1] == 1
    assert step(machine, two) == ("wait", 2)
    machine.abandon(one)
    assert set(machine.state.pins) == {0}
    assert step(machine, two) == ("fetch", 2, 2)
