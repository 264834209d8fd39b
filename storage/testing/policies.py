"""A conformance suite for eviction policies: subclass it, say how to get one, and pytest runs it.

    class TestMine(PolicyConformance):
        def make(self, chunks):
            return my_functions, my_arena(chunks)

What it holds a policy to is what the decider relies on. That a policy is any good, it cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.plan import Policy

__all__ = ["PolicyConformance", "Table", "misses"]

_CHUNKS = 12
_STEPS = st.lists(
    st.tuples(st.sampled_from(["use", "use", "pin", "unpin", "fail", "evict"]), st.integers(0, _CHUNKS - 1)),
    max_size=80,
)


def _view(array: Any) -> Any:
    return memoryview(array)


class Table:
    """A cache's books, kept beside a policy: what is in it, and what is pinned.

    Parameters
    ----------
    functions, arena
        The policy, and the lengths of its int64 and float64 arenas.
    sizes
        Bytes of each chunk.
    capacity
        Bytes; negative for no bound.
    """

    def __init__(self, functions: Policy, arena: tuple[int, int], sizes: Sequence[int], capacity: int) -> None:
        self.functions = functions
        self.ints: Any = _view(np.zeros(arena[0], np.int64))
        self.floats: Any = _view(np.zeros(arena[1], np.float64))
        self.sizes: Any = _view(np.asarray(sizes, np.int64))
        self.pinned: Any = _view(np.zeros(len(sizes), np.int32))
        self.held: set[int] = set()
        self.capacity = capacity
        self.open()

    def open(self) -> None:
        """A new process: the policy starts afresh, with what is there in ascending order."""
        self.functions.init(self.ints, self.floats, self.sizes, self.capacity)
        for chunk in sorted(self.held):
            self.functions.on_admit(self.ints, self.floats, chunk)

    def admit(self, chunk: int) -> None:
        """A chunk goes in."""
        self.functions.on_admit(self.ints, self.floats, chunk)
        self.held.add(chunk)

    def hit(self, chunk: int) -> None:
        """A chunk that is in is served."""
        self.functions.on_hit(self.ints, self.floats, chunk)

    def victim(self, chunk: int = -1) -> int:
        """Who would have to go for a chunk."""
        return self.functions.victim(self.ints, self.floats, self.pinned, chunk)

    def remove(self, chunk: int) -> None:
        """A chunk goes out."""
        self.functions.on_remove(self.ints, self.floats, chunk)
        self.held.remove(chunk)

    def drain(self) -> list[int]:
        """Remove one victim after the other, until there is none; who they were."""
        gone = []
        while (victim := self.victim()) >= 0:
            self.remove(victim)
            gone.append(victim)
        return gone

    def use(self, chunk: int) -> bool:
        """Serve a chunk, having admitted it first if it was not in and there is room to be made; true for a hit."""
        if chunk in self.held:
            self.hit(chunk)
            return True
        if self.functions.admits(self.ints, self.floats, chunk) and self.sizes[chunk] <= self.capacity:
            while sum(self.sizes[held] for held in self.held) + self.sizes[chunk] > self.capacity:
                victim = self.victim(chunk)
                if victim < 0:
                    return False
                self.remove(victim)
            self.admit(chunk)
        return False


def misses(functions: Policy, arena: tuple[int, int], sizes: Sequence[int], capacity: int, trace: Sequence[int]) -> int:
    """How many uses of a trace of chunk rows find their chunk not in."""
    table = Table(functions, arena, sizes, capacity)
    return sum(not table.use(int(chunk)) for chunk in trace)


class PolicyConformance:
    """Subclass it as ``TestSomething`` and give it `make`."""

    evicts = True
    """Whether the policy ever names a victim."""

    def make(self, chunks: int) -> tuple[Policy, tuple[int, int]]:
        """Five functions that run on memoryviews, and the lengths of their arenas for `chunks` chunks."""
        raise NotImplementedError

    def table(self, capacity: int = _CHUNKS, sizes: Sequence[int] = (1,) * _CHUNKS) -> Table:
        """An empty cache."""
        return Table(*self.make(len(sizes)), sizes, capacity)

    def test_empty_has_no_victim(self) -> None:
        """A policy to which nothing was admitted names no victim."""
        assert self.table().victim() == -1

    def test_pinned_are_no_victims(self) -> None:
        """While all are pinned there is no victim; the first to be unpinned is the next."""
        table = self.table()
        for chunk in (3, 1, 2):
            table.admit(chunk)
            table.pinned[chunk] = 1
        assert table.victim() == -1
        table.pinned[1] = 0
        assert table.victim() == (1 if self.evicts else -1)

    def test_all_go_in_the_end(self) -> None:
        """Every chunk is a victim sooner or later, and each once."""
        if not self.evicts:
            return
        table = self.table()
        for chunk in range(_CHUNKS):
            table.admit(chunk)
            if chunk % 2:
                table.hit(chunk)
        assert sorted(table.drain()) == list(range(_CHUNKS))

    def test_asking_twice_changes_nothing(self) -> None:
        """Who is asked for a victim again, and nothing happened in between, names the same."""
        table = self.table()
        for chunk in range(5):
            table.admit(chunk)
            table.hit(chunk)
        assert table.victim() == table.victim()

    def test_init_forgets(self) -> None:
        """After ``init`` a policy is as new, whatever its arenas hold: nothing of earlier chunks is named."""
        table = self.table()
        for chunk in range(_CHUNKS):
            table.admit(chunk)
            table.hit(chunk)
        table.victim()
        table.held = {7}
        table.open()
        assert table.victim() == (7 if self.evicts else -1)

    @settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(_STEPS, st.lists(st.integers(1, 5), min_size=_CHUNKS, max_size=_CHUNKS), st.integers(1, 20))
    def test_victims_are_held_and_free(self, steps: list[tuple[str, int]], sizes: list[int], capacity: int) -> None:
        """Whatever happens: a victim is in the cache and not pinned, and there is one if there can be one."""
        table = self.table(capacity, sizes)
        doing: dict[str, Callable[[int], object]] = {
            "use": table.use,
            "pin": lambda chunk: _pin(table, chunk, 1),
            "unpin": lambda chunk: _pin(table, chunk, 0),
            "fail": lambda chunk: table.remove(chunk) if chunk in table.held else None,
            "evict": lambda chunk: _evict(table),
        }
        for what, chunk in steps:
            doing[what](chunk)
            free = {held for held in table.held if not table.pinned[held]}
            victim = table.victim()
            assert victim in free if free and self.evicts else victim == -1


def _pin(table: Table, chunk: int, pins: int) -> None:
    if chunk in table.held:
        table.pinned[chunk] = pins


def _evict(table: Table) -> None:
    victim = table.victim()
    if victim >= 0:
        table.remove(victim)
