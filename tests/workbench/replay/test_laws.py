"""What holds of every replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings

from storage.backend import Link
from storage.errors import ConfigError
from storage.events import EVENTS, audit
from tests.workbench.policy._classes import Lru, Newest, Oldest
from tests.workbench.replay._cases import cases, layout_of, workload_of
from workbench import policy, view
from workbench._compile import compile_engine
from workbench.replay import Cpu, Settings, Workload, replay
from workbench.replay._engine import run

FREE = Cpu(0, 0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(cases(calm=True))
def test_ledgers_balance(case: tuple[Workload, Settings]) -> None:
    """Events pass the audit, and count what the totals count."""
    workload, circumstances = case
    result = replay(workload, None, circumstances, record=True)
    events, totals = result.events(), result.totals
    ledgers = audit(events)
    assert events.schema.equals(EVENTS)
    assert (ledgers.hit, ledgers.waited, ledgers.fetched) == tuple(
        totals[name] for name in ("bytes_hit", "bytes_waited", "bytes_fetched")
    )
    assert ledgers.asked == totals["bytes_asked"] == workload.length.sum()
    assert ledgers.by_cause == {
        cause: n for cause, n in totals["bytes_by_cause"].items() if n or cause in ledgers.by_cause
    }
    assert ledgers.received == totals["bytes_received"] == sum(result.requests["length"].to_pylist())
    kinds = Counter(events["kind"].to_pylist())
    assert (kinds["request"], kinds["evict"], kinds["wait"], kinds["hit"]) == tuple(
        totals[name] for name in ("requests", "evictions", "waits", "hits")
    )


@settings(max_examples=60, deadline=None)
@given(cases(warm_up=0))
def test_ledgers_balance_with_refusals(case: tuple[Workload, Settings]) -> None:
    """A request that is refused for good brings no byte, and a read that fails of it asks for none."""
    result = replay(case[0], None, case[1], record=True)
    ledgers = audit(result.events())
    assert ledgers.received == result.totals["bytes_received"]
    assert ledgers.asked <= result.totals["bytes_asked"]
    assert ledgers.asked == result.totals["bytes_asked"] or result.totals["failures"] > 0


@settings(max_examples=60, deadline=None)
@given(cases(calm=True))
def test_split_adds_up(case: tuple[Workload, Settings]) -> None:
    """Every nanosecond up to the last read is spent on exactly one thing."""
    result = replay(case[0], None, case[1])
    assert sum(result.split.values()) == result.time_to_last_read_ns == result.totals["time_to_last_read_ns"]
    assert min(result.split.values()) >= 0
    assert all(np.min(result.reads[f"{part}_ns"]) >= 0 for part in ("rtt", "bandwidth", "waiting", "decode"))


@settings(max_examples=60, deadline=None)
@given(cases(plain=True))
def test_events_give_the_same_split(case: tuple[Workload, Settings]) -> None:
    """What `view` works out from the events of a replay is what the replay says itself."""
    workload, circumstances = case
    result = replay(workload, None, circumstances, record=True)
    reads = _as_reads(workload)
    summary = view.summarize(result.events(), reads)
    assert summary.split == result.split
    assert summary.time_to_last_read_ns == result.time_to_last_read_ns
    assert (summary.p50_ns, summary.p99_ns) == (result.totals["p50_ns"], result.totals["p99_ns"])
    assert summary.bytes_decoded == result.totals["bytes_decoded"]


@settings(max_examples=40, deadline=None)
@given(cases())
def test_same_again(case: tuple[Workload, Settings]) -> None:
    """The same workload and settings have the same outcome."""
    first, second = (replay(case[0], None, case[1], record=True) for _ in range(2))
    assert first.events().equals(second.events())


@settings(max_examples=60, deadline=None)
@given(cases(calm=True, plan="exact", eviction="none"))
def test_each_chunk_once(case: tuple[Workload, Settings]) -> None:
    """Without a bound, plan `exact` fetches a chunk that it may keep at most once, whoever asks for it."""
    workload, circumstances = case
    requests = replay(workload, None, circumstances).requests
    fetched = Counter(
        chunk
        for first, last in zip(requests["first"].to_pylist(), requests["last"].to_pylist(), strict=True)
        for chunk in range(first, last + 1)
    )
    assert all(count == 1 for chunk, count in fetched.items() if workload.layout.known[chunk])


def test_one_read_by_hand() -> None:
    """One chunk through the link: a round trip, its bytes, the CPU's work on it; then a hit after some thinking."""
    workload = _two_reads(think=(5, 70))
    link, cpu = Link(rtt_ns=1_000, bandwidth=10**9, connections=1), Cpu(3, 1 << 20, 11, 2 << 20)
    result = replay(workload, None, Settings(amplify_io=0, link=link, cpu=cpu))
    size, stored = 4_096, 1_024
    first = 1_000 + stored + 11 + 2 * size
    assert result.reads["start_ns"].to_pylist() == [5, 5 + first + 70]
    assert result.reads["dur_ns"].to_pylist() == [first, 3 + size]
    assert result.split == {
        "rtt": 1_000, "bandwidth": stored, "waiting": 0, "decode": 11 + 3 * size + 3, "think": 75
    }  # fmt: skip


def test_delayed_hit() -> None:
    """A thread that wants what another is fetching waits for the rest of it, and no longer."""
    workload = _two_reads(think=(0, 400), threads=2)
    link = Link(rtt_ns=1_000, bandwidth=10**9, connections=1)
    result = replay(workload, None, Settings(amplify_io=0, link=link, cpu=FREE))
    assert result.totals["requests"] == result.totals["waits"] == 1
    assert result.reads["waiting_ns"].to_pylist() == [0, 1_000 + 1_024 - 400]
    assert result.totals["bytes_waited"] == 4_096


def test_prefetch_pays() -> None:
    """Prefetching what is read next saves its round trip, and is charged for its bytes; what nobody reads is wasted."""
    workload = _two_reads(think=(10**9, 0), chunks=(0, 1))
    link = Link(rtt_ns=1_000, bandwidth=10**9, connections=1)
    result = replay(workload, None, Settings(amplify_io=0, link=link, cpu=FREE, prefetch=[0, 1, 2]))
    assert result.totals["hit_ratio"] == 1
    assert result.totals["bytes_by_cause"]["prefetch"] == 3 * 1_024
    assert result.totals["wasted_prefetch_bytes"] == 1_024


def test_prefetch_begins_first() -> None:
    """Who reads at once finds the first batch of each worker on its way, and waits for it."""
    workload = _two_reads(think=(0, 0), chunks=(0, 1))
    link = Link(rtt_ns=1_000, bandwidth=10**9, connections=2)
    ours = Settings(amplify_io=0, prefetch_batch=0, link=link, cpu=FREE, prefetch=[0, 1, 2], prefetch_workers=2)
    found = replay(workload, None, ours)
    assert found.totals["waits"] == 1
    assert found.totals["bytes_by_cause"] == {"demand": 0, "amplify": 0, "gap": 0, "refetch": 0, "prefetch": 3 * 1_024}


def test_programs_take_turns() -> None:
    """A program starts when the one before has ended, with its cache."""
    rng = np.random.default_rng(5)
    layout = layout_of(rng, 20)
    workload = workload_of(rng, layout, 40, threads=2, programs=2)
    reads = replay(workload, None, Settings()).reads
    start, ends = reads["start_ns"].to_numpy(), pc.add(reads["start_ns"], reads["dur_ns"]).to_numpy()
    second = workload.thread_first[workload.program_first[1]]
    assert (start[second:] >= ends[:second].max()).all()


def test_compiled_once() -> None:
    """One compilation serves all policies, plans, prefetch lists, and Python classes too."""
    rng = np.random.default_rng(1)
    workload = workload_of(rng, layout_of(rng, 20), 40)
    online = [name for name in policy.names() if not policy.get(name).offline]
    for name in (*online, policy.from_class(Newest)):
        for plan in ("exact", "reference"):
            for prefetch in ("none", "whole blob"):
                replay(workload, None, Settings(plan=plan, eviction=name, capacity=300_000, prefetch=prefetch))
    replay(workload, None, Settings(), record=True)
    assert len(compile_engine(run).compiled.signatures) == 1


def test_python_policy() -> None:
    """LRU as a plain class and LRU built in have the same outcome."""
    rng = np.random.default_rng(2)
    workload = workload_of(rng, layout_of(rng, 30), 300)
    ours = Settings(eviction="lru", capacity=400_000, amplify_io=0)
    theirs = replace(ours, eviction=policy.from_class(Lru))
    assert replay(workload, None, ours).totals == replay(workload, None, theirs).totals


def test_python_policy_that_fails() -> None:
    """A class that names a chunk that is not there is stopped, and says which."""
    rng = np.random.default_rng(2)
    workload = workload_of(rng, layout_of(rng, 30), 100)
    wrong = policy.from_class(_Wrong)
    with pytest.raises(
        ConfigError, match=r"policy _Wrong names a victim that is pinned or not cached \(chunk 999999\)"
    ):
        replay(workload, None, Settings(eviction=wrong, capacity=200_000))
    assert wrong.errors == []


class _Wrong(Oldest):
    def victim(self, pinned: Sequence[int], chunk: int) -> int:
        return 999_999


def _two_reads(think: tuple[int, int], threads: int = 1, chunks: tuple[int, int] = (0, 0)) -> Workload:
    """Two reads of a chunk of 4,096 bytes each, of 1,024 compressed; by one thread or by two."""
    from storage.plan import Layout, Segments

    rows = np.arange(3)
    known, alone = np.ones(3, np.uint8), np.zeros(3, np.uint8)
    layout = Layout(
        rows * 0, rows * 1_024, (rows + 1) * 1_024, rows * 4_096, rows * 0 + 4_096, known, np.arange(3), alone
    )
    return Workload(
        read_id=np.arange(2),
        think_ns=np.array(think),
        offset=np.zeros(2, np.int64),
        length=np.full(2, 4_096),
        first=np.arange(3),
        segments=Segments(np.array(chunks), np.zeros(2, np.int64), np.full(2, 4_096)),
        thread_first=np.linspace(0, 2, threads + 1).astype(np.int64),
        program_first=np.array([0, threads]),
        programs=("one",),
        layout=layout,
    )


def _as_reads(workload: Workload) -> object:
    import pyarrow as pa

    threads = np.searchsorted(workload.thread_first, np.arange(len(workload)), side="right") - 1
    programs = np.searchsorted(workload.program_first, threads, side="right") - 1
    names = np.array(workload.programs)[programs]
    columns = {"read_id": workload.read_id, "think_ns": workload.think_ns, "thread": threads, "program": names}
    return pa.table(columns)
