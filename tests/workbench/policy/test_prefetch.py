"""Prefetch policies: what each suggests, worked out by hand; and a class of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from storage.errors import ConfigError, PathError
from storage.image import open_image
from storage.plan import Layout
from tests.workbench.replay._cases import layout_of, workload_of
from workbench.policy import amplify, prefetch
from workbench.policy.prefetch import PrefetchPolicy
from workbench.replay import Settings, Workload, replay


@pytest.fixture
def workload() -> Workload:
    """Reads over 40 chunks of one blob."""
    rng = np.random.default_rng(8)
    return workload_of(rng, layout_of(rng, 40), 80)


def suggested(policy: PrefetchPolicy, workload: Workload, chunks: Sequence[int]) -> list[list[int]]:
    """What a policy answers to reads of these chunks, none of which is ready."""
    ahead = policy.bind(workload).fresh()
    assert ahead is not None
    out = np.zeros(40, np.int64)
    return [out[: ahead.on_read(ahead.ints, ahead.floats, chunk, 0, out)].tolist() for chunk in chunks]


def test_obl(workload: Workload) -> None:
    """The next chunk, and nothing behind the last."""
    assert suggested(prefetch.obl(), workload, [3, 9, 39]) == [[4], [10], []]


def test_sequential(workload: Workload) -> None:
    """Nothing for a jump; two, four, eight for who goes on."""
    found = suggested(prefetch.sequential(1, 4), workload, [3, 4, 20, 5, 6])
    assert found == [[], [5, 6], [], [6, 7, 8, 9], [7, 8, 9, 10]]


def test_markov(workload: Workload) -> None:
    """What came after, the latest first."""
    found = suggested(prefetch.markov(2), workload, [1, 7, 1, 9, 1])
    assert found == [[], [], [7], [], [9, 7]]


def test_pg(workload: Workload) -> None:
    """What came soon after in a quarter of the cases."""
    found = suggested(prefetch.pg(window=1, edges=2), workload, [1, 7, 1, 7, 1])
    assert found == [[], [], [7], [1], [7]]


def test_mithril(workload: Workload) -> None:
    """Two chunks that are always read together are found when the table is full."""
    found = suggested(prefetch.mithril(support=2, near=5, rows=4), workload, [1, 2, 8, 9] * 2 + [1, 8])
    assert 2 in found[-2]
    assert 9 in found[-1]


def test_span(workload: Workload) -> None:
    """All of the same span but the chunk itself, which is on its way."""
    size = 300_000
    number = workload.layout.offset // size
    expected = [row for row in np.flatnonzero(number == number[10]).tolist() if row != 10]
    assert suggested(prefetch.span(size), workload, [10]) == [expected]


def test_clairvoyant(workload: Workload) -> None:
    """Every chunk that is needed, in the order of its first use."""
    rows = prefetch.clairvoyant().bind(workload).rows.tolist()
    assert rows == list(dict.fromkeys(workload.segments.chunk.tolist()))


def test_of_an_image(image_dir: Path) -> None:
    """Paths, directories and landmarks are found in the image; a path that is not there is refused."""
    image = open_image(image_dir)
    names, rows = image.paths()
    files = [
        i for i, row in enumerate(rows) if image.inodes.mode[row] & 0o170000 == 0o100000 and image.inodes.size[row]
    ]
    name = names[files[0]]
    expected = image.segments(int(rows[files[0]]), 0, 1 << 40)[0]
    known = Workload.from_reads(_one_read(name.decode()), image)
    assert prefetch.paths(image, [name]).bind(known).rows.tolist() == list(dict.fromkeys(expected))
    everything = set(prefetch.paths(image, ["/"]).bind(known).rows.tolist())
    assert set(expected) <= everything
    ahead = prefetch.directory(image).bind(known).fresh()
    assert ahead is not None
    out = np.zeros(len(image.chunks), np.int64)
    first = out[: ahead.on_read(ahead.ints, ahead.floats, expected[0], 0, out)].tolist()
    assert set(first) <= everything - {expected[0]}
    assert ahead.on_read(ahead.ints, ahead.floats, expected[0], 0, out) == 0
    assert prefetch.table(image).bind(known).rows.tolist() == []
    assert prefetch.landmark(2, background=False).bind(known).rows.tolist() == [0, 1]
    with pytest.raises(PathError):
        prefetch.paths(image, ["/nowhere"])


def _one_read(path: str) -> object:
    import pyarrow as pa

    names = ("read_id", "t_ns", "think_ns", "thread", "offset")
    return pa.table({**{name: [0] for name in names}, "program": ["p"], "path": [path], "length": [1]})


class _Next:
    def __init__(self, layout: Layout) -> None:
        self.chunks = len(layout.size)

    def on_read(self, chunk: int, ready: bool) -> list[int]:
        return [chunk + 1] if chunk + 1 < self.chunks else []


class _Broken(_Next):
    def on_read(self, chunk: int, ready: bool) -> list[int]:
        raise ZeroDivisionError("not today")


def test_a_class_of_ones_own(workload: Workload) -> None:
    """A plain class replays as the compiled policy that does the same; what it raises comes out."""
    settings = Settings(amplify_io=0, prefetch=prefetch.from_class(_Next))
    own, built_in = replay(workload, None, settings), replay(workload, None, Settings(amplify_io=0, prefetch="obl"))
    assert own.totals == built_in.totals
    assert own.totals["prefetched"] > 0
    with pytest.raises(ZeroDivisionError):
        replay(workload, None, Settings(prefetch=prefetch.from_class(_Broken)))


def test_no_such_prefetch(workload: Workload) -> None:
    """A name that is none, and a row that is none, are refused."""
    for wrong in ("magic", [40]):
        with pytest.raises(ConfigError):
            replay(workload, None, Settings(prefetch=wrong))


def test_amplification(workload: Workload) -> None:
    """None fetches nothing along, a profile only what is needed, adaptive windows grow for who goes on."""
    layout = workload.layout._replace(known=np.ones(40, np.uint8))
    assert amplify.none().windows(layout).tolist() == [0] * 40
    windows = amplify.profile([3, 4, 5, 9]).windows(layout)
    assert windows[3] == layout.end[5] - layout.start[3]
    assert windows[[0, 6]].tolist() == [0, 0]
    none = replay(workload, None, Settings(amplify_io=amplify.none())).totals["bytes_by_cause"]
    guided = replay(workload, None, Settings(amplify_io=amplify.profile(workload.touched))).totals["bytes_by_cause"]
    assert none["amplify"] == 0 < guided["amplify"]
    assert amplify.reference(4096).batch == 128 << 10
