"""Prefetch policies: what each suggests, worked out by hand; and a class of one's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import ConfigError, PathError
from storage.image import Image, open_image
from storage.plan import Ahead, Layout, plan_layout, plan_options, plan_prefetch
from tests.workbench.policy.test_examples import code
from tests.workbench.replay._cases import layout_of, workload_of
from workbench.policy import prefetch
from workbench.policy.prefetch import Known, PrefetchPolicy
from workbench.replay import Settings, Workload, replay
from workbench.replay._settings import prefetch_rows
from workbench.testing import PrefetchConformance

BUILT_IN = {name: prefetch.get(name) for name in prefetch.names()}
BUILT_IN |= {"paths": prefetch.paths(["/bin"]), "span alone": prefetch.span(16_384, background=False)}


@pytest.mark.parametrize("name", BUILT_IN)
class TestBuiltIn(PrefetchConformance):
    """Every built-in policy is one that store and engine can rely on."""

    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.policy = BUILT_IN[name]


@pytest.fixture
def workload() -> Workload:
    """Reads over 40 chunks of one blob."""
    rng = np.random.default_rng(8)
    return workload_of(rng, layout_of(rng, 40), 80)


def known_of(layout: Layout, image: Image | None = None) -> Known:
    """What a live store knows: nothing of what will be read."""
    return Known(layout, plan_options(), image)


def suggested(policy: PrefetchPolicy, known: Known, chunks: Sequence[int]) -> list[list[int]]:
    """What a policy answers to reads of these chunks, none of which is ready."""
    ahead = policy.bind(known).fresh()
    assert ahead is not None
    out = np.zeros(len(known.layout.size), np.int64)
    return [out[: ahead.on_read(ahead.ints, ahead.floats, chunk, 0, out)].tolist() for chunk in chunks]


def test_obl(workload: Workload) -> None:
    """The next chunk, and nothing behind the last."""
    assert suggested(prefetch.obl(), known_of(workload.layout), [3, 9, 39]) == [[4], [10], []]


def test_sequential(workload: Workload) -> None:
    """Nothing for a jump; two, four, eight for who goes on."""
    found = suggested(prefetch.sequential(1, 4), known_of(workload.layout), [3, 4, 20, 5, 6])
    assert found == [[], [5, 6], [], [6, 7, 8, 9], [7, 8, 9, 10]]


def test_markov(workload: Workload) -> None:
    """What came after, the latest first."""
    found = suggested(prefetch.markov(2), known_of(workload.layout), [1, 7, 1, 9, 1])
    assert found == [[], [], [7], [], [9, 7]]


def test_pg(workload: Workload) -> None:
    """What came soon after in a quarter of the cases."""
    found = suggested(prefetch.pg(window=1, edges=2), known_of(workload.layout), [1, 7, 1, 7, 1])
    assert found == [[], [], [7], [1], [7]]


def test_mithril(workload: Workload) -> None:
    """Two chunks that are always read together are found when the table is full."""
    policy = prefetch.mithril(support=2, near=5, rows=4)
    found = suggested(policy, known_of(workload.layout), [1, 2, 8, 9] * 2 + [1, 8])
    assert 2 in found[-2]
    assert 9 in found[-1]


def test_span(workload: Workload) -> None:
    """All of the same span but the chunk itself, which is on its way."""
    size = 300_000
    number = workload.layout.offset // size
    expected = [row for row in np.flatnonzero(number == number[10]).tolist() if row != 10]
    assert suggested(prefetch.span(size), known_of(workload.layout), [10]) == [expected]


def test_clairvoyant(workload: Workload) -> None:
    """Every chunk that is needed, in the order of its first use; a live store has nobody who knows."""
    rows = prefetch_rows("clairvoyant", workload).tolist()
    assert rows == list(dict.fromkeys(workload.segments.chunk.tolist()))
    with pytest.raises(ConfigError):
        prefetch.clairvoyant().bind(known_of(workload.layout))


def _files(image: Image) -> list[tuple[bytes, int]]:
    """Paths and inodes of files with bytes in them."""
    names, rows = image.paths()
    kept = (image.inodes.mode[rows] & 0o170000 == 0o100000) & (image.inodes.size[rows] > 0)
    return [(name, int(row)) for name, row, keep in zip(names, rows, kept, strict=True) if keep]


def test_table_and_paths(image_dir: Path) -> None:
    """Both are the requests that a store makes; a path that is not there is refused."""
    image = open_image(image_dir)
    layout = plan_layout(image.chunks)
    known, (name, inode) = known_of(layout, image), _files(image)[0]
    found, expected = prefetch.paths([name]).bind(known).rows, plan_prefetch(image, layout, known.options, [inode])
    assert [part.tolist() for part in found] == [part.tolist() for part in expected]
    assert len(expected.rows) > 0
    table, planned = prefetch.table().bind(known).rows, plan_prefetch(image, layout, known.options)
    assert [part.tolist() for part in table] == [part.tolist() for part in planned]
    with pytest.raises(PathError):
        prefetch.get("paths=/nowhere").bind(known)


def test_directory(image_dir: Path) -> None:
    """With a chunk come those of all files of its directory, once."""
    image = open_image(image_dir)
    name, inode = _files(image)[-1]
    chunk = image.segments(inode, 0, 1 << 40)[0][0]
    folder = name.rpartition(b"/")[0]
    beside = [row for path, row in _files(image) if path.rpartition(b"/")[0] == folder]
    expected = {row for file in beside for row in image.segments(file, 0, 1 << 40)[0]} - {chunk}
    first, again = suggested(prefetch.directory(), known_of(plan_layout(image.chunks), image), [chunk, chunk])
    assert set(first) <= expected  # what another directory has, too, may have come with that
    assert len(first) == len(set(first)) > 0 or not expected
    assert again == []


def test_without_a_landmark(image_dir: Path) -> None:
    """An image without a landmark has nothing that goes first, and everything behind it."""
    image = open_image(image_dir)
    known = known_of(plan_layout(image.chunks), image)
    rows = prefetch.landmark().bind(known).rows
    assert rows.tolist() == list(range(len(image.chunks)))
    assert len(prefetch.landmark(background=False).bind(known).rows) == 0


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
    assert own.totals["bytes_by_cause"]["prefetch"] > 0
    with pytest.raises(ZeroDivisionError):
        replay(workload, None, Settings(prefetch=prefetch.from_class(_Broken)))


def test_no_such_prefetch(workload: Workload) -> None:
    """A name that is none, a row that is none, and files where there is no image, are refused."""
    for wrong in ("magic", [40], "table", "directory", "landmark", "paths=/a"):
        with pytest.raises(ConfigError):
            replay(workload, None, Settings(prefetch=wrong))


def test_the_examples(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of how to bring a policy of one's own run as they are printed, and are one policy in three ways."""
    plain, functions, entry = code(prefetch.__doc__)
    outcomes, names = list[dict[str, Any]](), dict[str, Any]()

    def replayed(workload: Workload, settings: Settings) -> None:
        outcomes.append(replay(workload, None, settings).totals)

    known = {"replay": replayed, "Settings": Settings, "prefetch": prefetch, "workload": workload}
    names |= {**known, "__name__": "documented", "np": np, "Ahead": Ahead}
    for block in (plain, functions):
        exec(compile(block, "example", "exec"), names)
    said = re.fullmatch(r'\[project.entry-points."(.*)"\]\n(.*) = "my_package:(.*)"\n', entry)
    assert said is not None
    group, name, value = said.groups()
    found = EntryPoint(name, f"documented:{value}", group)
    monkeypatch.setattr(EntryPoint, "load", lambda self: names[value])
    monkeypatch.setattr(f"{prefetch.__name__}.entry_points", lambda group: [found] if group == found.group else [])
    assert name in prefetch.names()
    replayed(workload, Settings(prefetch=name))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0]["bytes_by_cause"]["prefetch"] > 0
