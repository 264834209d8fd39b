"""Amplification policies: which windows each gives, and what becomes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from storage.errors import ConfigError
from storage.plan import EXACT, FETCH, Amplify, Decider, Layout, Read, Segments, keep_all, plan_options, windows
from tests.workbench.replay._cases import layout_of, workload_of
from workbench.policy import amplify
from workbench.replay import Settings, Workload, replay
from workbench.testing import AmplifyConformance

CHUNKS = 40


@pytest.mark.parametrize("name", ["none", "reference=200KiB", "fixed=9000", "adaptive=200KiB", "profile=20000"])
class TestBuiltIn(AmplifyConformance):
    """Every built-in policy is one that store and engine can rely on."""

    longest = 200 << 10

    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.name = name

    def make(self, needed: npt.NDArray[np.int64], layout: Layout) -> Amplify:
        """It."""
        made = amplify.get(self.name, needed, layout)
        assert isinstance(made, Amplify)
        return made


@pytest.fixture
def workload() -> Workload:
    """Reads over chunks of one blob, each of which may be kept."""
    rng = np.random.default_rng(5)
    layout = layout_of(rng, CHUNKS)
    return workload_of(rng, layout._replace(known=np.ones(CHUNKS, np.uint8)), 80)


def amplified(workload: Workload, chosen: int | str | Amplify) -> int:
    """Bytes that were fetched along."""
    return int(replay(workload, None, Settings(amplify_io=chosen)).totals["bytes_by_cause"]["amplify"])


def test_none(workload: Workload) -> None:
    """Nothing is fetched along, though neighbours still merge."""
    assert amplified(workload, amplify.none()) == 0
    assert plan_options("exact", amplify.none()).batch == 1 << 20


def test_fixed_is_a_size(workload: Workload) -> None:
    """A fixed window is what a number of bytes is."""
    assert amplified(workload, amplify.fixed(200_000)) == amplified(workload, 200_000) > 0
    assert plan_options("exact", amplify.fixed(200_000)) == plan_options("exact", 200_000)


def test_reference() -> None:
    """What nydusd takes less of, it takes as 128 KiB, and its plan widens by no other rule."""
    assert amplify.reference(4096).window == 128 << 10
    assert plan_options("reference", amplify.reference(4096)) == plan_options("reference", 4096)
    for wrong in (amplify.adaptive(), Amplify("own", np.zeros(CHUNKS, np.int64))):
        with pytest.raises(ConfigError):
            plan_options("reference", wrong)


def test_profile(workload: Workload) -> None:
    """Windows end where what is needed ends: so nothing is fetched along that is not needed."""
    layout = workload.layout
    window = windows(amplify.profile([3, 4, 5, 9], layout), CHUNKS)
    assert window[3] == layout.end[5] - layout.start[3]
    assert window[[0, 6]].tolist() == [0, 0]
    needless = np.ones(CHUNKS, np.bool_)
    needless[workload.touched] = False
    fetched = replay(workload, None, Settings(amplify_io="profile")).requests
    units = np.unique(layout.unit[workload.touched])
    assert all(layout.unit[row] in units for name in ("first", "last") for row in fetched[name].to_pylist())


def test_adaptive_windows_grow() -> None:
    """Who goes on where a request ended fetches twice as much, up to the largest; who jumps begins anew."""
    size, count = 10_000, 64
    start = np.arange(count) * size
    layout = layout_of(np.random.default_rng(0), count)._replace(
        blob=np.zeros(count, np.int64),
        start=start,
        end=start + size,
        offset=start,
        size=np.full(count, size),
        known=np.ones(count, np.uint8),
        unit=np.arange(count),
        kind=np.zeros(count, np.uint8),
    )
    chosen = amplify.adaptive(most=4 * size, least=size)
    options = plan_options("exact", chosen)
    assert options.plan == EXACT
    decider = Decider(layout, options, None, keep_all, window=windows(chosen, count))

    def fetched(chunk: int) -> int:
        read: Read = decider.begin(Segments([chunk], [0], [size]))
        assert decider.advance(read) == FETCH
        decider.arrive(read)
        decider.persisted(read)
        return len(read.chunks)

    assert [fetched(chunk) for chunk in (0, 1, 3, 7, 11)] == [1, 2, 4, 4, 4]
    assert fetched(40) == 1


def test_by_name(workload: Workload) -> None:
    """Names, with a size after them, and sizes; what is none of these is refused."""
    assert amplify.get("fixed=64KiB") == amplify.fixed(64 << 10)
    assert amplify.get("128KiB") == 128 << 10
    assert amplify.get("ADAPTIVE=8MiB") == amplify.adaptive(8 << 20)
    assert amplified(workload, "none") == 0
    for wrong in ("magic", "fixed=much", "profile", "5 apples"):
        with pytest.raises(ConfigError):
            amplify.get(wrong)


def test_no_such_windows(workload: Workload) -> None:
    """One for each chunk, and none below 0."""
    for window in (np.zeros(3, np.int64), np.full(CHUNKS, -1)):
        with pytest.raises(ConfigError):
            replay(workload, None, Settings(amplify_io=Amplify("own", window)))
