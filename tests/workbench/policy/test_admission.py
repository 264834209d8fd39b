"""Who is let in: built-in admission policies, one of somebody's own, and all of them before any eviction policy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import libcachesim
import numpy as np
import pytest

from storage.errors import ConfigError
from tests.workbench.simulate._traces import SHARES, traces
from workbench import policy
from workbench.policy import admission
from workbench.policy.admission import AdmissionPolicy, Gate
from workbench.replay import Settings
from workbench.simulate import ObjectTrace, simulate
from workbench.testing import AdmissionConformance, EvictionConformance
from workbench.trace.formats import write_oracle_general


@pytest.mark.parametrize("name", ["all", "size=3", "probabilistic=0.5", "tinylfu"])
@pytest.mark.parametrize("before", ["lru", "sieve"])
class TestBuiltIn(AdmissionConformance):
    """Every built-in policy, before an eviction policy, is one that store and engine can rely on."""

    @pytest.fixture(autouse=True)
    def _named(self, name: str, before: str) -> None:
        self.admission, self.eviction = admission.get(name), policy.get(before)


class _Oldest:
    """First in, first out."""

    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        self.chunks: dict[int, None] = {}

    def on_hit(self, chunk: int) -> None:
        pass

    def on_admit(self, chunk: int) -> None:
        self.chunks[chunk] = None

    def victim(self, pinned: Sequence[int], chunk: int) -> int:
        return next((held for held in self.chunks if not pinned[held]), -1)

    def on_remove(self, chunk: int) -> None:
        del self.chunks[chunk]


class _OldestOdd(_Oldest):
    """Which lets in odd chunks only."""

    def admits(self, chunk: int) -> bool:
        return chunk % 2 == 1


class TestPythonClass(AdmissionConformance):
    """A compiled admission policy before a plain Python class."""

    admission, eviction = admission.get("tinylfu"), policy.from_class(_Oldest)


class TestOwnAdmits(EvictionConformance):
    """A plain Python class that admits what it likes."""

    policy = policy.from_class(_OldestOdd)


def _arena(chunks: int) -> tuple[int, int]:
    return chunks, 0


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    for chunk in range(len(sizes)):
        ints[chunk] = 0


def _on_use(ints: Any, floats: Any, chunk: int) -> None:
    ints[chunk] += 1


def _admits(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return 1 if ints[chunk] > 1 else 0


again = AdmissionPolicy("again", _arena, Gate(_init, _on_use, _admits))


class TestOwnGate(AdmissionConformance):
    """Somebody's own functions before a built-in policy."""

    admission, eviction = again, policy.get("fifo")


THEIRS = {
    "size=1000": lambda: libcachesim.SizeAdmissioner(1001),
    "again": libcachesim.BloomFilterAdmissioner,
}


@pytest.mark.parametrize("gate", THEIRS)
@pytest.mark.parametrize("eviction", ["lru", "s3-fifo"])
def test_as_libcachesim(eviction: str, gate: str, tmp_path: Path) -> None:
    """Those that draw nothing let in what libcachesim's do: misses are equal at each size of each trace."""
    makers = {
        "lru": libcachesim.LRU,
        "s3-fifo": libcachesim.S3FIFO,
    }
    both = admission.guard(policy.get(eviction), again if gate == "again" else admission.get(gate))
    for number, trace in enumerate(traces().values()):
        path = tmp_path / f"{number}.oracleGeneral"
        write_oracle_general(path, trace)
        for share in SHARES:
            size = int(trace.sizes.sum() * share) // 20 * 20
            reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
            theirs = makers[eviction](cache_size=size, hashpower=13, admissioner=THEIRS[gate]())
            ratio, bytes_ratio = theirs.process_trace(reader)
            ours = simulate(trace, both, size)
            assert (ours.misses, ours.miss_bytes) == (round(ratio * len(trace)), round(bytes_ratio * trace.bytes))


def test_scan_is_kept_out() -> None:
    """What comes once does not push out what is used again and again: FIFO alone misses a quarter more."""
    trace = traces(sized=False)["scan + zipf"]
    plain, kept = (simulate(trace, name, 300).miss_ratio for name in ("fifo", "fifo+tinylfu"))
    assert 1.25 * kept < plain


def test_probabilistic_share() -> None:
    """Of newcomers that there is room for, the share comes in; all and none are exact."""
    trace = ObjectTrace.from_arrays(np.arange(20_000), 1)
    refused = [simulate(trace, f"lru+probabilistic={share}", 30_000).refused for share in (0, 0.25, 1)]
    assert refused[0] == 20_000
    assert refused[2] == 0
    assert abs(refused[1] / 20_000 - 0.75) < 0.02


def test_names() -> None:
    """A policy with admission is had by one name, and the same each time; replay takes it, too."""
    both = policy.get("LRU+size=4KiB")
    assert both is policy.get("lru+size=4KiB")
    assert both.name == "lru+size=4KiB"
    assert policy.get("lru+all") is policy.get("lru")
    assert Settings(eviction="lru+tinylfu", capacity=1).policy is policy.get("lru+tinylfu")
    assert admission.names() == ("all", "tinylfu", "size", "probabilistic")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lru+best", "no admission policy 'best'; there are all, tinylfu, size, probabilistic"),
        ("lru+size", "size of '' makes no sense: say size=128KiB"),
        ("lru+probabilistic=2", "probabilistic of '2' makes no sense: say probabilistic=0.5"),
        ("best+tinylfu", "no eviction policy 'best'"),
    ],
)
def test_refused(name: str, said: str) -> None:
    """What there is not is refused in words."""
    with pytest.raises(ConfigError, match=said):
        policy.get(name)


def test_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installed package names is known by name."""
    made = [EntryPoint(name, f"{__name__}:{name}", "workbench.admissions") for name in ("again", "THEIRS")]
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.value.partition(":")[2]])
    monkeypatch.setattr("workbench.policy.admission._policy.entry_points", lambda group: made)
    admission.get.cache_clear()
    assert policy.get("lru+again").name == "lru+again"
    with pytest.raises(ConfigError, match="is no AdmissionPolicy"):
        policy.get("lru+THEIRS")
    admission.get.cache_clear()
