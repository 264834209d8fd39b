"""The panel, driven without a browser."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pyarrow as pa
import pytest

from storage.errors import ConfigError
from workbench.replay import Settings, Workload
from workbench.trace import READS
from workbench.view import Panel, panel
from workbench.view._debounce import Debounced

FILES = ("/lib/app/big.so", "/lib/app/one.py", "/lib/copy.py", "/lib/data/table.bin", "/lib/app/big.so")


class Readable:
    """The hand-made image as a workload needs it."""

    def __init__(self, tables: Any) -> None:
        self.tables, self.chunks = tables, tables.chunks
        self.rows = {f"/{path.decode().strip('/')}": row for path, row in zip(*tables.paths(), strict=True)}

    def lookup(self, path: str | bytes) -> int:
        """Row of a path."""
        return int(self.rows[str(path)])

    def segments(self, row: int, offset: int, length: int) -> tuple[list[int], list[int], list[int]]:
        """The pieces of a file that is read whole."""
        mine = self.tables.extents.inode == row
        pieces = self.tables.extents.chunk[mine].tolist(), self.tables.extents.length[mine].tolist()
        return pieces[0], [0] * len(pieces[0]), pieces[1]


@pytest.fixture
def reads() -> pa.Table:
    """Five files, read whole by one program that thinks for a millisecond before each."""
    sizes = (1500, 300, 300, 4000, 1500)
    rows = [
        {"read_id": i, "t_ns": i * 2_000_000, "dur_ns": 1, "think_ns": 1_000_000, "thread": 0, "program": "app"}
        | {"path": path, "offset": 0, "length": size}
        for i, (path, size) in enumerate(zip(FILES, sizes, strict=True))
    ]
    return pa.table([pa.array([row[f.name] for row in rows], f.type) for f in READS], schema=READS)


@pytest.fixture
def shown(hand_made: Any, reads: pa.Table) -> Panel:
    """A panel over that workload, no amplification, an unbounded cache."""
    workload = Workload.from_reads(reads, Readable(hand_made))
    return panel(workload, Settings(amplify_io=0), image=hand_made, reads=reads)


def cells(panel: Panel, metric: str) -> list[str]:
    """The table's cells of a metric, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", panel.table.value)
    found = [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>", row)] for row in rows]
    return next(row[1:] for row in found if row and row[0].endswith(metric))


def test_it_begins_with_the_settings_given(shown: Panel) -> None:
    """At first both columns are the same run: four chunks, one round trip of 20 ms each."""
    assert cells(shown, "requests") == ["3", "3", "same"]
    assert cells(shown, "round trips") == ["60.0 ms", "60.0 ms", "same"]
    assert bytes(shown.picture.value).startswith(b"\x89PNG")
    assert shown.cache.disabled


def test_each_control_changes_what_is_shown(shown: Panel) -> None:
    """Round trip, bandwidth, amplification and cache each redraw table and picture."""
    before = shown.picture.value
    shown.rtt.value = 50
    assert cells(shown, "round trips") == ["60.0 ms", "150 ms", "+150.0 %"]
    assert shown.picture.value != before
    shown.bandwidth.value = 5
    assert cells(shown, "transfer")[1] != cells(shown, "transfer")[0]
    shown.amplify.value = 1 << 20
    assert cells(shown, "requests") == ["3", "2", "-33.3 %"]
    shown.amplify.value = 0
    shown.eviction.value = "lru"
    shown.cache.value = 75
    assert not shown.cache.disabled
    assert int(cells(shown, "evictions")[1]) > 0


def test_settings_are_what_the_controls_say(shown: Panel) -> None:
    """A share of the touched bytes, milliseconds and megabits become bytes and nanoseconds; the rest stays."""
    shown.eviction.value, shown.cache.value = "sieve", 50
    shown.rtt.value, shown.bandwidth.value, shown.amplify.value = 0.5, 100, 1 << 17
    found = shown.settings
    assert (found.eviction, found.capacity, found.amplify_io) == ("sieve", 2900, 1 << 17)
    assert (found.link.rtt_ns, found.link.bandwidth) == (500_000, 12_500_000)
    assert found.plan == "exact"
    shown.eviction.value = "none"
    assert shown.settings.capacity is None


def test_many_changes_are_one_replay(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook a dragged slider replays once, when it rests; until then what is shown is marked as stale."""
    replayed: list[Settings] = []
    replay = shown._replay
    monkeypatch.setattr(shown, "_replay", lambda settings: (replayed.append(settings), replay(settings))[1])

    async def drag() -> None:
        for value in (1, 2, 5, 50, 100):
            shown.rtt.value = value
            assert "nw-stale" in shown.table._dom_classes
        await asyncio.sleep(0.4)

    asyncio.run(drag())
    assert [settings.link.rtt_ns for settings in replayed] == [100_000_000]
    assert cells(shown, "round trips")[1] == "300 ms"
    assert "nw-stale" not in shown.table._dom_classes


def test_an_error_is_shown_in_place_of_old_output(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a replay is refused, its reason is what is to be seen, and no picture of something else."""

    def refuse(settings: Settings) -> None:
        raise ConfigError("not like this", field="capacity")

    monkeypatch.setattr(shown, "_replay", refuse)
    shown.rtt.value = 1
    assert "not like this (field capacity)" in shown.table.value
    assert shown.picture.value == b""


def test_without_a_loop_work_is_done_at_once() -> None:
    """A script that drives widgets need not wait."""
    done: list[int] = []
    ask = Debounced(lambda: done.append(1), 10)
    ask()
    assert done == [1]
