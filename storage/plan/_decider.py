"""The decider as the live store holds it: the arrays, the functions, and a journal.

Every method is one input of the state machine and returns its decisions. With a journal,
inputs and decisions are written down in the order in which they were made, which is the
order of the cache's lock; `rerun` feeds the inputs to a fresh machine and compares.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import IntegrityError
from storage.plan import _advance, _report
from storage.plan._state import (
    ABSENT,
    BLOCKED,
    HIGH,
    READY,
    STORED,
    STORING,
    USER,
    Array,
    Layout,
    Options,
    Policy,
    Reg,
    Segments,
    keep_all,
    new_registers,
    new_state,
    views,
)

__all__ = ["Decider", "Read", "rerun"]

Journal = list[tuple[Any, ...]]


class Read:
    """A read, or a prefetch, under way: what it asks, and its registers."""

    __slots__ = ("marks", "reg", "segments")

    def __init__(self, ticket: int, segments: Segments, kind: int) -> None:
        self.segments = segments
        self.marks = bytearray(len(segments.chunk))
        self.reg = new_registers(ticket, len(segments.chunk), kind)

    @property
    def span(self) -> range:
        """Segments that the current action is about."""
        return range(self.reg[Reg.POS], self.reg[Reg.SPAN])

    @property
    def chunks(self) -> range:
        """Chunk rows that the current fetch is about."""
        return range(self.reg[Reg.FIRST], self.reg[Reg.LAST] + 1)


class Decider:
    """State and decisions of one cache. Not thread-safe: the cache's lock is held around each call.

    Parameters
    ----------
    layout
        See `plan_layout`.
    options
        See `plan_options`.
    capacity
        Bytes that may be stored; None for no bound.
    policy, arena
        The eviction policy, and the sizes of its int64 and float64 arenas.
    journal
        Whether to keep one.
    watermarks
        See `new_state`.
    window
        How far requests reach, for all or by chunk, see `windows`; by default as `options` say.
    whole
        See `new_state`.

    Attributes
    ----------
    evictions
        Victims chosen so far.
    noted
        Hits that the policy was not told of yet: any thread adds to them, without the lock. It is told, in order,
        before the next decision that may depend on it.
    told
        How many have been noted before these.
    """

    def __init__(
        self,
        layout: Layout,
        options: Options,
        capacity: int | None,
        policy: Policy,
        arena: tuple[int, int] = (1, 1),
        journal: bool = False,
        watermarks: tuple[int, int] | None = None,
        window: npt.NDArray[np.int64] | None = None,
        whole: bool = False,
    ) -> None:
        chunks = len(layout.size)
        self.layout = views(layout)
        self.options = options
        first = options.amplify if window is None else window
        self.state = views(new_state(chunks, capacity, *arena, watermarks, first, whole))
        self.policy = keep_all if policy.admits is keep_all.admits and self._holds_all(layout) else policy
        self.noted: list[int] = []
        self.told = 0
        self.journal: Journal | None = [] if journal else None
        self._victims: Array = np.zeros(chunks, np.int64).data
        self._tickets = 0
        self.evictions = 0

    def _holds_all(self, layout: Layout) -> bool:
        """Whether there is room for every chunk there is, so that nothing will ever have to go."""
        high = self.state.counters[HIGH]
        return bool(high < 0 or int(np.asarray(layout.size).sum()) <= high)

    def open(self, ready: Sequence[int] | npt.NDArray[np.int64]) -> list[int]:
        """Chunks found ready on disk. Returns victims, where they are too much."""
        rows = np.asarray(ready, np.int64)
        np.asarray(self.state.status)[rows] = READY
        if self.policy is keep_all:  # which has nothing to learn of them one by one
            self.state.counters[STORED] = int(np.asarray(self.layout.size)[rows].sum())
            victims = []
        else:
            victims = self._taken(_report.reopen(self.layout, self.state, self.policy, self._victims))
        return self._write("open", tuple(rows.tolist()) if self.journal is not None else (), victims)

    def begin(self, segments: Segments, kind: int = USER) -> Read:
        """A read arrives; until it has looked, prefetch steps back for it as for one that is blocked."""
        read = Read(self._tickets, segments, kind)
        self._tickets += 1
        if kind == USER:
            self.state.counters[BLOCKED] += 1
            read.reg[Reg.BLOCKED] = 1
        self._write("begin", (tuple(segments.chunk), tuple(segments.offset), tuple(segments.length), kind), None)
        return read

    def advance(self, read: Read) -> int:
        """What the read does next."""
        self.tell()
        action = _advance.advance(
            self.layout, self.state, self.options, self.policy, read.segments, read.marks, read.reg
        )
        if self.journal is not None:
            self._write("advance", read.reg[Reg.TICKET], (action, tuple(read.reg)))
        return action

    def tell(self) -> None:
        """Tell the policy what was noted, before it may decide anything; of what has gone since, it is not told."""
        if not self.noted:
            return
        count = len(self.noted)  # more may come meanwhile
        noted = self.noted[:count]
        del self.noted[:count]
        self.told += count
        if self.policy is keep_all:  # which does not mind
            return
        rows = np.frombuffer(struct.pack(f"{count}q", *noted), np.int64)  # a quarter of numpy's own time
        self.hits(rows[np.asarray(self.state.status)[rows] == READY])

    def hits(self, chunks: Sequence[int] | npt.NDArray[np.int64]) -> None:
        """Ready chunks were served, none of them pinned."""
        rows = np.asarray(chunks, np.int64)
        self.policy.on_hits(self.state.ints, self.state.floats, rows)
        self._write("hits", tuple(rows.tolist()) if self.journal is not None else (), None)

    def served(self, read: Read) -> None:
        """A SERVE was done."""
        _report.served(self.state, read.segments, read.reg)
        self._write("served", read.reg[Reg.TICKET], None)

    def lost(self, read: Read, pos: int) -> bool:
        """A SERVE came as far as segment `pos`, whose chunk was spoilt. True if its bit must be cleared."""
        self.tell()
        gone = _report.lost(
            self.layout, self.state, self.options, self.policy, read.segments, read.marks, read.reg, pos
        )
        return self._write("lost", (read.reg[Reg.TICKET], pos), gone)

    def found(self, chunk: int) -> bool:
        """A chunk was found in the cache file. True if it is ready from now on."""
        self.tell()
        return self._write("found", chunk, _report.found(self.layout, self.state, self.policy, chunk))

    def give_up_wait(self, read: Read) -> None:
        """A WAIT took too long."""
        _report.give_up_wait(read.reg)
        self._write("give_up_wait", read.reg[Reg.TICKET], None)

    def arrive(self, read: Read) -> list[int]:
        """A FETCH arrived. Returns victims to be punched out."""
        self.tell()
        victims = self._taken(_report.arrive(self.layout, self.state, self.policy, read.reg, self._victims))
        return self._write("arrive", read.reg[Reg.TICKET], victims)

    def adopt(self, chunk: int) -> tuple[bool, list[int]]:
        """A chunk can be had without the backend. Returns whether it is claimed now, and victims to be punched out."""
        self.tell()
        absent = self.state.status[chunk] == ABSENT
        victims = self._taken(_report.adopt(self.layout, self.state, self.policy, chunk, self._victims))
        mine = absent and self.state.status[chunk] == STORING
        self._write("adopt", chunk, (mine, victims))
        return mine, victims

    def adopted(self, chunk: int) -> None:
        """A chunk that was claimed so is in place."""
        _report.adopted(self.state, chunk)
        self._write("adopted", chunk, None)

    def evicted(self, chunk: int) -> None:
        """A victim is gone."""
        _report.evicted(self.layout, self.state, chunk)
        self._write("evicted", chunk, None)

    def store_failed(self, chunk: int) -> None:
        """An admitted chunk was not written."""
        self.tell()
        _report.store_failed(self.layout, self.state, self.policy, chunk)
        self._write("store_failed", chunk, None)

    def persisted(self, read: Read) -> None:
        """The admitted chunks of a FETCH are on disk."""
        _report.persisted(self.state, read.reg)
        self._write("persisted", read.reg[Reg.TICKET], None)

    def abandon(self, read: Read) -> None:
        """The read fails."""
        self.tell()
        _report.abandon(self.layout, self.state, self.policy, read.segments, read.marks, read.reg)
        self._write("abandon", read.reg[Reg.TICKET], None)

    def stand_back(self, read: Read) -> None:
        """A FETCH is left to somebody else, who is not known here; the read is to look again."""
        _report.stand_back(self.state, read.segments, read.marks, read.reg)
        self._write("stand_back", read.reg[Reg.TICKET], None)

    def is_mine(self, read: Read, chunk: int, status: int) -> bool:
        """Whether the chunk has that status on behalf of this read."""
        return bool(self.state.status[chunk] == status and self.state.owner[chunk] == read.reg[Reg.TICKET])

    def _taken(self, count: int) -> list[int]:
        self.evictions += count
        return list(self._victims[:count])

    def _write(self, name: str, given: Any, decided: Any) -> Any:
        if self.journal is not None:
            self.journal.append((name, given, decided))
        return decided


def rerun(journal: Iterable[tuple[Any, ...]], decider: Decider) -> int:
    """Feed a journal's inputs to a fresh decider; its decisions must be the same.

    Returns
    -------
    int
        How many inputs there were.

    Raises
    ------
    IntegrityError
        At the first that was decided otherwise.
    """
    reads: dict[int, Read] = {}
    count = 0
    for name, given, decided in journal:
        again = _repeat(decider, reads, name, given)
        if again != decided:
            raise IntegrityError(f"{name} decided {again}, had decided {decided}", field=count)
        count += 1
    return count


def _repeat(decider: Decider, reads: dict[int, Read], name: str, given: Any) -> Any:
    if name == "begin":
        read = decider.begin(Segments(*given[:3]), given[3])
        reads[read.reg[Reg.TICKET]] = read
        return None
    if name in ("open", "adopt", "adopted", "evicted", "found", "hits", "store_failed"):
        return getattr(decider, name)(given)
    if name == "lost":
        return decider.lost(reads[given[0]], given[1])
    read = reads[given]
    result = getattr(decider, name)(read)
    return (result, tuple(read.reg)) if name == "advance" else result
