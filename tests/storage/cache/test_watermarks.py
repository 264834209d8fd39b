"""Eviction in batches, and policies that refuse."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backend import LocalFs
from storage.errors import ConfigError
from storage.events import Recorder, audit
from storage.plan import Decider, Policy, Segments, plan_layout, plan_options
from storage.testing.actions import finish
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

CHUNK = 64 << 10


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A blob of 16 chunks of 64 KiB of noise."""
    dice = random.Random(5)
    return make_blobs(tmp_path_factory.mktemp("blobs"), [[dice.randbytes(CHUNK) for _ in range(16)]])


def test_down_to_the_low_one(even: Made, tmp_path: Path) -> None:
    """Room for 8, marks at 3 and 6: the seventh chunk makes four go, and so does every fourth after it."""
    recorder, marks = Recorder(), (3 * CHUNK, 6 * CHUNK)
    settings = {"capacity": 8 * CHUNK, "policy": plain_lru(), "watermarks": marks, "recorder": recorder}
    cache = open_cache(even, tmp_path, **settings)
    held = []
    for row in range(16):
        read_chunks(cache, even, [row])
        held.append(len(ready_rows(cache)))
    assert held == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 3, 4, 5, 6, 3, 4]
    assert ready_rows(cache) == [12, 13, 14, 15]
    gone = recorder.table().filter(pc.equal(recorder.table()["kind"], "evict"))
    assert gone["chunk"].to_pylist() == list(range(12))
    audit(recorder.table())
    assert_at_rest(cache)
    cache.close()
    (cache := open_cache(even, tmp_path, **settings | {"watermarks": (CHUNK, 3 * CHUNK)})).close()
    assert ready_rows(cache) == [15]


@pytest.mark.parametrize("marks", [(2, 1), (-1, 1), (0, 9)])
def test_marks_in_order(marks: tuple[int, int], even: Made, tmp_path: Path) -> None:
    """Marks the wrong way round, negative, or above the capacity are refused."""
    with pytest.raises(ConfigError) as refused:
        open_cache(even, tmp_path, capacity=8, policy=plain_lru(), watermarks=marks)
    assert refused.value.where == {"field": "watermarks"}


@given(
    shares=st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)).map(sorted),
    rows=st.lists(st.integers(0, 15), max_size=40),
)
def test_bounds_hold(shares: list[int], rows: list[int], even: Made) -> None:
    """Wherever the marks are: no more than the high one is stored, or one chunk, and what was read last is there."""
    low, high, capacity = (share * CHUNK for share in shares)
    options = plan_options("exact", 0)
    machine = Decider(plan_layout(even.chunks), options, capacity, plain_lru(), watermarks=(low, high))
    machine.open(())
    for row in rows:
        read = machine.begin(Segments([row], [0], [CHUNK]))
        finish(machine, read)
        for chunk, status in enumerate(machine.state.status):
            if status == 4:
                machine.evicted(chunk)
        assert machine.state.counters[0] <= max(high, CHUNK if capacity else 0)
        assert (machine.state.status[row] == 3) == (capacity >= CHUNK)


def only_odd() -> Policy:
    """LRU that lets nothing go for a chunk of an even row."""
    lru = plain_lru()

    def victim(ints: object, floats: object, pinned: object, chunk: int) -> int:
        return -1 if chunk >= 0 and chunk % 2 == 0 else lru.victim(ints, floats, pinned, chunk)

    return lru._replace(victim=victim)


def test_a_policy_refuses(even: Made, tmp_path: Path) -> None:
    """What a policy does not admit is read through each time, makes nothing go, and counts as dropped."""
    recorder, backend = Recorder(), WatchedBackend(LocalFs(even.folder))
    cache = open_cache(even, tmp_path, capacity=2 * CHUNK, policy=only_odd(), recorder=recorder, backend=backend)
    for row in (1, 3, 4, 4, 6, 5):
        read_chunks(cache, even, [row])
    assert ready_rows(cache) == [3, 5]
    assert len(backend.requests) == 6
    fetches = recorder.table().filter(pc.equal(recorder.table()["kind"], "fetch"))
    dropped = fetches.filter(pc.equal(fetches["outcome"], "dropped"))
    assert dropped["chunk"].to_pylist() == [4, 4, 6]
    audit(recorder.table())
    cache.close()
