"""The built-in policies: as the decider needs them, and as others count."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import libcachesim
import numba
import numpy as np
import numpy.typing as npt
import pytest

from storage.errors import ConfigError
from storage.plan import Policy
from storage.testing.policies import PolicyConformance, misses
from tests.workbench.policy._classes import Lru, Newest
from workbench import policy
from workbench.testing import EvictionConformance

THEIRS = {"fifo": libcachesim.FIFO, "lru": libcachesim.LRU, "sieve": libcachesim.Sieve}
ORACLE = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
I64 = npt.NDArray[np.int64]


class _Mru(Newest, Lru):
    """The newest goes first, and what is hit is new again."""


@pytest.mark.parametrize("name", [name for name in policy.names() if not policy.get(name).offline and name != "none"])
class TestBuiltIn(EvictionConformance):
    """Every built-in policy is one that store and engine can rely on."""

    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.policy = policy.get(name)


class TestNone(PolicyConformance):
    """No eviction is a policy too."""

    evicts = False

    def make(self, chunks: int) -> tuple[Policy, tuple[int, int]]:
        """It."""
        return policy.get("none").functions, policy.get("none").arena(chunks)


class TestPythonClass(EvictionConformance):
    """A plain class behind the five functions."""

    policy = policy.from_class(_Mru)


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    for chunk in range(len(sizes)):
        ints[chunk], floats[chunk] = 0, sizes[chunk]


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    pass


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    ints[chunk] = 1


def _larger(floats: Any, one: int, other: int) -> bool:
    return bool(other < 0 or floats[one] > floats[other])


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    best = -1
    for held in range(len(pinned)):
        if ints[held] != 0 and pinned[held] == 0 and _larger(floats, held, best):
            best = held
    return best


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    ints[chunk] = 0


largest = policy.EvictionPolicy(
    "largest", lambda chunks: (chunks, chunks), Policy(_init, _on_hit, _on_admit, _victim, _on_remove)
)


class TestFunctions(EvictionConformance):
    """Somebody's own functions, compiled with what they call."""

    policy = largest


def test_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installed package names is known by name, a class as well as functions."""
    made = {"big": "largest", "new": "_Mru", "odd": "ORACLE"}
    ours = [EntryPoint(name, f"{__name__}:{what}", "workbench.policies") for name, what in made.items()]
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.value.partition(":")[2]])
    monkeypatch.setattr("workbench.policy._policy.entry_points", lambda group: ours)
    assert policy.names()[-3:] == ("big", "new", "odd")
    assert policy.get("big") is largest
    assert policy.get("new").interpreted
    with pytest.raises(ConfigError, match="neither"):
        policy.get("odd")


def traces() -> dict[str, I64]:
    """Requests for chunks below 300 of several kinds."""
    rng = np.random.default_rng(7)
    zipf = np.minimum(rng.zipf(1.2, 8000) - 1, 299)
    loop = np.tile(np.arange(120), 60)
    mixed = np.where(rng.random(8000) < 0.7, zipf, np.arange(8000) % 300)
    shift = np.minimum(rng.zipf(1.3, 8000) - 1, 99) + np.repeat([0, 100, 200, 50], 2000)
    return {"uniform": rng.integers(0, 300, 8000), "zipf": zipf, "loop": loop, "scan": mixed, "shift": shift}


@numba.njit
def compiled_misses(functions: Any, ints: I64, floats: Any, sizes: I64, capacity: int, trace: I64, pinned: Any) -> int:
    """What `storage.testing.policies.misses` does, calling function values."""
    held, stored, missed = np.zeros(len(sizes), np.bool_), 0, 0
    functions.init(ints, floats, sizes, capacity)
    for chunk in trace:
        if held[chunk]:
            functions.on_hit(ints, floats, chunk)
            continue
        missed += 1
        if sizes[chunk] > capacity:
            continue
        while stored + sizes[chunk] > capacity:
            victim = functions.victim(ints, floats, pinned, chunk)
            functions.on_remove(ints, floats, victim)
            held[victim] = False
            stored -= sizes[victim]
        functions.on_admit(ints, floats, chunk)
        held[chunk] = True
        stored += sizes[chunk]
    return missed


def run_compiled(chosen: policy.EvictionPolicy, sizes: I64, capacity: int, trace: I64) -> int:
    """Misses of the compiled policy."""
    ints, floats = chosen.arena(len(sizes))
    arenas = np.zeros(ints, np.int64), np.zeros(floats)
    return int(compiled_misses(chosen.compiled(), *arenas, sizes, capacity, trace, np.zeros(len(sizes), np.int32)))


def run_theirs(name: str, sizes: I64, capacity: int, trace: I64, folder: Path) -> int:
    """Misses as libcachesim counts them."""
    records = np.zeros(len(trace), ORACLE)
    records["time"], records["id"], records["size"], records["next"] = np.arange(len(trace)), trace, sizes[trace], -2
    path = folder / "trace.oracleGeneral"
    records.tofile(path)
    reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    ratio, _ = THEIRS[name](cache_size=capacity).process_trace(reader)
    return round(ratio * len(trace))


@pytest.mark.parametrize("sized", [False, True], ids=["equal", "sized"])
@pytest.mark.parametrize("trace", traces().values(), ids=traces().keys())
@pytest.mark.parametrize("name", THEIRS)
def test_misses_as_libcachesim(name: str, trace: I64, sized: bool, tmp_path: Path) -> None:
    """Plain, compiled and in libcachesim, a trace has the same number of misses, whether sizes are equal or not."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 2000, 300) if sized else np.full(300, 1000)
    chosen = policy.get(name)
    for share in (0.05, 0.2, 0.6):
        capacity = int(sizes.sum() * share)
        theirs = run_theirs(name, sizes, capacity, trace, tmp_path)
        assert run_compiled(chosen, sizes, capacity, trace) == theirs
        if share == 0.2:
            assert misses(chosen.functions, chosen.arena(300), sizes.tolist(), capacity, trace.tolist()) == theirs


def test_python_class_compiled() -> None:
    """Compiled code that calls a class back decides as the class does."""
    trace, sizes = traces()["zipf"], np.full(300, 10)
    chosen = policy.from_class(_Mru, "mru")
    plain = misses(chosen.functions, chosen.arena(300), sizes.tolist(), 500, trace.tolist())
    assert run_compiled(chosen, sizes, 500, trace) == plain
    assert plain != run_compiled(policy.get("lru"), sizes, 500, trace)


def test_one_type() -> None:
    """All policies have one type, so what calls them is compiled once."""
    before = len(compiled_misses.signatures)
    for name in policy.names()[1:]:
        run_compiled(policy.get(name), np.full(300, 10), 500, traces()["loop"])
    run_compiled(policy.from_class(_Mru), np.full(300, 10), 500, traces()["loop"])
    assert len(compiled_misses.signatures) == max(before, 1)


def test_unknown() -> None:
    """A name that there is not is refused, with those that there are."""
    with pytest.raises(ConfigError, match="no eviction policy 'best'; there are none, fifo, lru"):
        policy.get("best")
