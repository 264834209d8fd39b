"""Hits in a cache that evicts: the policy learns of them late, and decides as if it had been told at once."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.events import Recorder, audit
from storage.plan import Decider, Policy, Segments, keep_all, plan_layout, plan_options, rerun
from storage.testing.actions import finish
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

CHUNK = 16 << 10
CHUNKS = 12
OPTIONS = plan_options("exact", 0)


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A blob of 12 chunks of 16 KiB of noise."""
    dice = random.Random(7)
    return make_blobs(tmp_path_factory.mktemp("blobs"), [[dice.randbytes(CHUNK) for _ in range(CHUNKS)]])


def lru_that_asks(asked: list[str]) -> Policy:
    """LRU that says which of its functions were called."""
    lru = plain_lru()

    def on_hit(ints: Any, floats: Any, chunk: int) -> None:
        asked.append("on_hit")
        lru.on_hit(ints, floats, chunk)

    def on_admit(ints: Any, floats: Any, chunk: int) -> None:
        asked.append("on_admit")
        lru.on_admit(ints, floats, chunk)

    return lru._replace(on_hit=on_hit, on_admit=on_admit)


def machine_of(made: Made, capacity: int) -> Decider:
    """A decider of an empty cache."""
    machine = Decider(plan_layout(made.chunks), OPTIONS, capacity, plain_lru(), journal=True)
    machine.open(())
    return machine


def read_through(machine: Decider, row: int) -> None:
    """One read, all of it at once."""
    finish(machine, machine.begin(Segments([row], [0], [CHUNK])))
    for chunk, status in enumerate(machine.state.status):
        if status == 4:
            machine.evicted(chunk)


@given(rows=st.lists(st.integers(0, CHUNKS - 1), max_size=60), room=st.integers(1, CHUNKS - 1))
def test_noted_is_told(rows: list[int], room: int, even: Made) -> None:
    """Whatever is read: hits that are noted lead to the same chunks being there as hits that are served one by one."""
    one_by_one, noting = machine_of(even, room * CHUNK), machine_of(even, room * CHUNK)
    for row in rows:
        read_through(one_by_one, row)
        if noting.state.status[row] == 3:
            noting.noted.append(row)
        else:
            read_through(noting, row)
        assert list(noting.state.status) == list(one_by_one.state.status)
    noting.tell()
    assert noting.noted == []
    assert noting.journal is not None
    assert rerun(noting.journal, machine_of(even, room * CHUNK)) == len(noting.journal)


def test_what_is_gone_is_not_told(even: Made) -> None:
    """A hit that is noted after its chunk was evicted is passed over: the policy does not know that chunk any more."""
    machine = machine_of(even, 2 * CHUNK)
    for row in (0, 1, 2):
        read_through(machine, row)
    machine.noted += [0, 1, 0]
    read_through(machine, 3)
    assert [row for row, status in enumerate(machine.state.status) if status == 3] == [1, 3]
    assert machine.journal is not None
    assert ("hits", (1,), None) in machine.journal


def test_never_more_than_so_many(even: Made, tmp_path: Path) -> None:
    """Of 5000 hits without a decision, the policy is told of each 4096."""
    cache = open_cache(even, tmp_path, capacity=4 * CHUNK, policy=plain_lru())
    read_chunks(cache, even, range(4))
    most = 0
    for _ in range(5000):
        read_chunks(cache, even, [2])
        most = max(most, len(cache.decider.noted))
    assert most == 4095
    cache.close()


def test_where_all_fits(even: Made, tmp_path: Path) -> None:
    """A policy that will never have to choose is not asked for anything; with a chunk's room less it is."""
    asked: list[str] = []
    for room in (CHUNKS, CHUNKS - 1):
        assert asked == []
        cache = open_cache(even, tmp_path, capacity=room * CHUNK, policy=lru_that_asks(asked))
        assert (cache.decider.policy is keep_all) == (room == CHUNKS)
        for row in [*range(CHUNKS - 1), *range(CHUNKS - 1)]:
            read_chunks(cache, even, [row])
        assert cache.stored == (CHUNKS - 1) * CHUNK
        cache.close()
    assert asked[: CHUNKS - 1] == ["on_admit"] * (CHUNKS - 1)


def test_where_all_fits_but_not_all_is_admitted(even: Made, tmp_path: Path) -> None:
    """What is not to be admitted is asked of the policy all the same."""
    picky = plain_lru()._replace(admits=lambda ints, floats, chunk: chunk % 2)
    cache = open_cache(even, tmp_path, capacity=CHUNKS * CHUNK, policy=picky)
    read_chunks(cache, even, range(CHUNKS))
    assert ready_rows(cache) == list(range(1, CHUNKS, 2))
    cache.close()


def test_hits_while_others_evict(even: Made, tmp_path: Path) -> None:
    """8 threads read single chunks where 3 of 4 are hits: right bytes, balanced books, every decision repeated."""
    recorder = Recorder()
    cache = open_cache(
        even, tmp_path, capacity=9 * CHUNK, policy=plain_lru(), recorder=recorder, journal=True, amplify_io=0
    )
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(400):
                read_chunks(cache, even, [dice.randrange(CHUNKS)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert_at_rest(cache)
    audit(recorder.table())
    kinds = recorder.table()["kind"].to_pylist()
    assert kinds.count("evict") > 300
    assert kinds.count("hit") > 1200
    journal = cache.decider.journal
    assert journal is not None
    fresh = Decider(plan_layout(even.chunks), OPTIONS, 9 * CHUNK, plain_lru())
    assert rerun(journal, fresh) == len(journal)
    assert list(fresh.state.status) == list(cache.decider.state.status)
    cache.close()


@pytest.mark.parametrize(("plan", "hits"), [("exact", 1), ("reference", 2)])
def test_a_long_hit(plan: str, hits: int, even: Made, tmp_path: Path) -> None:
    """What is there already is one hit; as nydusd counts, one for each request that there would have been."""
    cache = open_cache(even, tmp_path, plan=plan)
    read_chunks(cache, even, range(CHUNKS))
    before = cache.metrics()["partial_hits"]
    read_chunks(cache, even, range(CHUNKS))
    assert cache.metrics()["partial_hits"] - before == hits
    cache.close()
