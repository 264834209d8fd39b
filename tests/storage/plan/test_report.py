"""Admission and eviction, as the decider sees them: counters, pins, victims; and `explain`."""

from __future__ import annotations

from collections.abc import Callable

from storage.plan import (
    ABSENT,
    EXACT,
    FETCH,
    LEAVING,
    READY,
    STORED,
    STORING,
    Decider,
    Layout,
    Options,
    Policy,
    Segments,
    Step,
    explain,
    keep_all,
)
from storage.plan._state import EVICTING
from storage.testing.lru import plain_lru

NEIGHBOURS = [(100 * row, 100) for row in range(6)]
OPTIONS = Options(EXACT, 0, 1000, 10, 1000)
PAGE = 4096


def bounded(layout: Layout, pages: int, policy: Policy | None = None) -> Decider:
    """An empty cache with room for so many chunks."""
    machine = Decider(layout, OPTIONS, pages * PAGE, policy or plain_lru())
    machine.open(())
    return machine


def fetch(machine: Decider, *rows: int) -> list[int]:
    """Read chunks that are absent, with one request; returns the victims."""
    read = machine.begin(Segments(rows, [0] * len(rows), [PAGE] * len(rows)))
    assert machine.advance(read) == FETCH
    victims = machine.arrive(read)
    for victim in victims:
        machine.evicted(victim)
    machine.persisted(read)
    return victims


def test_oldest_goes(table: Callable[..., Layout]) -> None:
    """With room for three, a fourth takes the place of the first."""
    machine = bounded(table(*NEIGHBOURS), 3)
    assert fetch(machine, 0, 1, 2) == []
    assert fetch(machine, 3) == [0]
    assert list(machine.state.status) == [ABSENT, READY, READY, READY, ABSENT, ABSENT]
    assert machine.state.counters[STORED] == 3 * PAGE


def test_a_fetch_does_not_evict_itself(table: Callable[..., Layout]) -> None:
    """Of a fetch larger than the cache, the first chunks stay and the rest find no room."""
    machine = bounded(table(*NEIGHBOURS), 2)
    assert fetch(machine, 0, 1) == []
    assert fetch(machine, 2, 3, 4, 5) == [0, 1]
    assert list(machine.state.status) == [ABSENT, ABSENT, READY, READY, ABSENT, ABSENT]


def test_being_evicted_is_neither(table: Callable[..., Layout]) -> None:
    """Until its bytes are gone a victim cannot be fetched again: who wants it waits."""
    machine = bounded(table(*NEIGHBOURS), 1)
    fetch(machine, 0)
    one = machine.begin(Segments([1], [0], [PAGE]))
    assert machine.advance(one) == FETCH
    assert machine.arrive(one) == [0]
    assert (machine.state.status[0], machine.state.status[1]) == (EVICTING, STORING)
    machine.evicted(0)
    assert machine.state.status[0] == ABSENT
    machine.persisted(one)
    assert machine.state.status[1] == READY


def test_room_of_what_is_leaving(table: Callable[..., Layout]) -> None:
    """Until a victim is gone its bytes take room, but for whoever waits for it to go: nobody else slips in."""
    layout = table(*NEIGHBOURS)
    layout.size[0] = 2 * PAGE
    machine = bounded(layout, 2)
    fetch(machine, 0)
    one, two = (machine.begin(Segments([row], [0], [PAGE])) for row in (1, 2))
    assert machine.advance(one) == machine.advance(two) == FETCH
    assert machine.arrive(one) == [0]
    assert machine.arrive(two) == []
    assert (machine.state.status[1], machine.state.status[2]) == (STORING, ABSENT)
    machine.evicted(0)
    assert (machine.state.counters[STORED], machine.state.counters[LEAVING]) == (PAGE, 0)


def test_a_store_that_failed(table: Callable[..., Layout]) -> None:
    """A chunk that could not be written gives its room back, and the policy forgets it."""
    machine = bounded(table(*NEIGHBOURS), 2)
    read = machine.begin(Segments([0, 1], [0, 0], [PAGE, PAGE]))
    machine.advance(read)
    machine.arrive(read)
    machine.store_failed(0)
    machine.persisted(read)
    assert list(machine.state.status)[:2] == [ABSENT, READY]
    assert machine.state.counters[STORED] == PAGE
    assert set(machine.state.pins) == {0}
    assert fetch(machine, 2) == []
    assert fetch(machine, 3) == [1]


def test_reopen_counts_what_is_there(table: Callable[..., Layout]) -> None:
    """On what is found in a folder the policy starts in chunk order, and too much is evicted at once."""
    machine = Decider(table(*NEIGHBOURS), OPTIONS, 2 * PAGE, plain_lru())
    assert machine.open([4, 1, 3]) == [1]
    assert machine.state.counters[STORED] == 2 * PAGE
    machine.evicted(1)
    assert list(machine.state.status) == [ABSENT, ABSENT, ABSENT, READY, READY, ABSENT]


def test_no_victim_no_room(table: Callable[..., Layout]) -> None:
    """A policy that names nobody leaves things as they are: what does not fit is not kept."""
    machine = bounded(table(*NEIGHBOURS), 1, keep_all)
    assert fetch(machine, 0) == []
    assert fetch(machine, 1) == []
    assert list(machine.state.status)[:2] == [READY, ABSENT]


def test_explain(table: Callable[..., Layout]) -> None:
    """A read's steps, before anything is read: what comes from where, and why."""
    layout = table(*NEIGHBOURS)
    segments = Segments([0, 1, 2], [96, 0, 0], [4000, 4096, 100])
    steps = explain(layout, Options(EXACT, 200, 1000, 10, 1000), segments, ready=[0])
    assert steps == [
        Step("cache", 0, 96, 4000, (0,), ("ready",), 4000, "1 chunk ready in the cache"),
        Step("fetch", 0, 100, 200, (1, 2), ("demand", "demand"), 4196, "2 chunks asked for and not in the cache"),
    ]
    (only,) = explain(layout, Options(EXACT, 200, 1000, 10, 1000), Segments([3], [0], [1]))
    assert (only.chunks, only.causes, only.user_bytes) == ((3, 4), ("demand", "amplify"), 1)
    assert only.why == "1 chunk asked for and not in the cache; 1 more fetched along, within 200 bytes of the first"
