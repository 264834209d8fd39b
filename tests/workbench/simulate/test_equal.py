"""Every deterministic policy that libcachesim has, too, counted by both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.workbench.simulate._traces import COMPARED, SHARES, theirs, traces
from workbench.simulate import ObjectTrace, simulate

# Where the two mean different things, and why ours is what the paper says.
DIFFER = {
    "lfuda": "its ages are added to a chunk's count at every hit and are 0 until the first eviction; Arlitt's priority "
    "is the count plus the age at the last use",
    "lirs": "it evicts on hits, makes a LIR chunk HIR when one in the queue is hit, and refuses what is larger than a "
    "hundredth of the cache; Jiang and Zhang do none of these",
    "w-tinylfu": "it counts no hits in the window, never ages its counts in practice, and refuses what is larger than "
    "the window; Einziger counts every use and halves",
}
# Where the two mean the same only of pages: objects that are equally large, in a cache of a multiple of four.
PAGES_ONLY = {
    "slru": "with sizes it evicts on a hit what sinks out of the lowest segment though the cache has room",
    "2q": "with sizes it bounds the main list by itself though the cache has room; in the paper nothing does",
    "arc": "its target moves by single bytes; the paper's moves by pages, so ours by the ghost's bytes",
}
# Both draw, and not the same: who goes, who is looked at, or an evicted object's place among equals. How much that is.
DRAWN = {"hyperbolic": 0.03, "lhd": 0.03, "belady-size": 0.03, "lecar": 0.03, "random": 0.05}

# Those of libcachesim's that learn, and of which the documentation of `workbench.policy` says why they are not here.
LEARNED = ("3l-cache", "lrb")


def count(name: str, trace: ObjectTrace, folder: Path) -> list[bool]:
    """For each size, whether misses and bytes missed are the same."""
    everything = int(trace.sizes.sum())
    sizes = [int(everything * share) // 20 * 20 for share in SHARES]
    mine = [simulate(trace, name, size) for size in sizes]
    return [
        (outcome.misses, outcome.miss_bytes) == theirs(name, trace, size, folder)
        for outcome, size in zip(mine, sizes, strict=True)
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], list[bool]]:
    """All counts, by policy, kind of sizes and trace."""
    folder = tmp_path_factory.mktemp("traces")
    return {
        (name, kind, trace_name): count(name, trace, folder)
        for kind, sized in (("sized", True), ("pages", False))
        for name in COMPARED
        for trace_name, trace in traces(sized).items()
    }


def row(table: dict[tuple[str, str, str], list[bool]], name: str, kind: str) -> str:
    """At how many of the sizes the two are equal, trace by trace, and why they are not."""
    counts = {trace: sum(same) for (one, other, trace), same in table.items() if (one, other) == (name, kind)}
    cells = [f"{trace} {'=' if equal == len(SHARES) else f'{equal}/8'}" for trace, equal in counts.items()]
    why = DIFFER.get(name, PAGES_ONLY.get(name, "") if kind == "sized" else "")
    return f"{name:10} {kind}: {', '.join(cells)}  {why}"


def test_as_libcachesim(table: dict[tuple[str, str, str], list[bool]], capsys: pytest.CaptureFixture[str]) -> None:
    """Misses and bytes are equal at each of eight sizes, unless the two mean different things."""
    with capsys.disabled():
        print()
        for name in COMPARED:
            print("\n".join(row(table, name, kind) for kind in ("sized", "pages")))
    for (name, kind, trace), same in table.items():
        if name not in DIFFER and (kind == "pages" or name not in PAGES_ONLY):
            assert all(same), (name, kind, trace)


def test_differences_are_there(table: dict[tuple[str, str, str], list[bool]]) -> None:
    """What is said to differ does, so that the list of reasons is not longer than it has to be."""
    for name in {**DIFFER, **PAGES_ONLY}:
        assert not all(all(same) for (one, kind, _), same in table.items() if one == name and kind == "sized"), name


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_as_libcachesim(name: str, tmp_path: Path) -> None:
    """Policies that draw samples miss as often as libcachesim's do, but for the draws: within 3 % of all, or 5 %."""
    for sized in (True, False):
        for trace in traces(sized).values():
            sizes = [int(trace.sizes.sum() * share) // 20 * 20 for share in SHARES]
            mine = sum(simulate(trace, name, size).misses for size in sizes)
            others = sum(in_new_thread(name, trace, size, tmp_path) for size in sizes)
            assert abs(mine - others) < DRAWN[name] * others


@pytest.mark.parametrize("name", LEARNED)
def test_learned_are_lru(name: str, tmp_path: Path) -> None:
    """Policies that learn, which are not here, have LRU's misses on traces as short as these."""
    for trace in traces().values():
        size = int(trace.sizes.sum() * 0.3) // 20 * 20
        outcome = simulate(trace, "lru", size)
        assert theirs(name, trace, size, tmp_path) == (outcome.misses, outcome.miss_bytes)


def in_new_thread(name: str, trace: ObjectTrace, size: int, folder: Path) -> int:
    """Misses, drawn from the seed that libcachesim has for each thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(theirs, name, trace, size, folder).result()[0]
