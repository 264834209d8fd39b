"""A conformance suite for prefetch policies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.image import open_image
from storage.plan import PLANS, Batches, Layout, plan_options
from workbench.policy.prefetch import Bound, Known, PrefetchPolicy, from_class
from workbench.replay import Settings, Workload, replay
from workbench.replay._settings import prefetch_rows
from workbench.testing._serial import OnImage, in_order, random_reads, run_serially, unhurried

__all__ = ["PrefetchConformance"]

_READS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 1)), max_size=40)
_settings = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.differing_executors])


class PrefetchConformance(OnImage):
    """Subclass it as ``TestSomething`` and give it a `policy`."""

    policy: PrefetchPolicy

    def bound(self, image_dir: Path) -> tuple[Bound, Layout]:
        """The policy for an image and a workload on it, as a process has it when it starts; and the image's layout."""
        known = _known(image_dir)
        return self.policy.bind(known), known.layout

    def test_lists_chunks(self, image_dir: Path) -> None:
        """What is fetched from the start are chunks of the image."""
        bound, layout = self.bound(image_dir)
        rows = np.asarray(bound.rows.rows if isinstance(bound.rows, Batches) else bound.rows)
        assert rows.ndim == 1
        assert rows.dtype.kind == "i"
        assert np.isin(rows, np.arange(len(layout.size))).all()

    @_settings
    @given(_READS)
    def test_suggests_chunks(self, image_dir: Path, reads: list[tuple[int, int]]) -> None:
        """A read is answered with no more rows than there is room for, each of a chunk, or below 0 for none."""
        bound, layout = self.bound(image_dir)
        for rows in _suggested(bound, layout, reads):
            assert len(rows) <= len(layout.size)
            assert max(rows, default=-1) < len(layout.size)

    @_settings
    @given(_READS)
    def test_same_again(self, image_dir: Path, reads: list[tuple[int, int]]) -> None:
        """A second process begins with the same list, has learnt nothing of the first, and answers as it did."""
        first, second = (self.bound(image_dir) for _ in range(2))
        assert _listed(first[0]) == _listed(second[0])
        assert _suggested(*first, reads) == _suggested(*second, reads)

    def test_leaves_the_layout_alone(self, image_dir: Path) -> None:
        """Whoever looks at an image's layout does not write to it."""
        _, workload = unhurried(image_dir, 30, seed=2)
        before = [np.array(column) for column in workload.layout]
        replay(workload, None, Settings(prefetch=self.policy))
        assert all(map(np.array_equal, before, workload.layout))

    def test_loses_nothing(self, image_dir: Path) -> None:
        """All that is on the list has come in the end, and all that was read."""
        _, workload = unhurried(image_dir, 30, seed=3)
        listed = prefetch_rows(self.policy, workload)
        result = replay(workload, None, Settings(prefetch=self.policy))
        ranges = zip(*(result.requests[name].to_pylist() for name in ("first", "last")), strict=True)
        came = {chunk for first, last in ranges for chunk in range(first, last + 1)}
        assert came >= {*listed.tolist(), *workload.segments.chunk.tolist()}

    def test_compiled_as_plain(self, image_dir: Path) -> None:
        """Compiled code suggests what the function, called as it is, does."""
        image, policy = open_image(image_dir), self.policy
        workload = Workload.from_reads(random_reads(image_dir, 60, seed=4, longest=20_000), image)

        class Plain:
            def __init__(self, layout: Layout) -> None:
                self.bound = policy.bind(Known(layout, plan_options("exact", 0), image, workload))
                self.ahead, self.out = self.bound.fresh(), np.zeros(len(layout.size), np.int64).data

            def on_read(self, chunk: int, ready: bool) -> list[int]:
                if self.ahead is None:
                    return []
                ahead = self.ahead
                return list(self.out[: ahead.on_read(ahead.ints, ahead.floats, chunk, int(ready), self.out)])

        def bind(known: Known) -> Bound:
            plain = from_class(Plain).bind(known)
            return Bound(policy.bind(known).rows, plain.ahead, plain.compiler, plain.errors)

        found = [
            replay(workload, None, Settings(amplify_io=0, prefetch=chosen))
            for chosen in (policy, PrefetchPolicy("plain", bind))
        ]
        assert found[0].requests.equals(found[1].requests)

    @pytest.mark.parametrize("plan", PLANS)
    def test_live_as_replayed(self, image_dir: Path, tmp_path: Path, plan: str) -> None:
        """A live store, of which a chunk is read now and then, makes the requests that a replay of it makes.

        Those for users are in the same order, and those ahead of them are; which thread is first is not said, nor what
        comes after the last read.
        """
        reads, workload = unhurried(image_dir, 40, seed=5, longest=1)
        chosen = Settings(plan=plan, amplify_io=0, prefetch=self.policy)
        live = run_serially(image_dir, reads, chosen, tmp_path, workload)
        replayed = replay(workload, None, chosen, record=True).events()
        runs = [in_order(_before_the_last_read(events)) for events in (live, replayed)]
        for of_users in (True, False):
            found, expected = ([request for request in run if request[-1] == of_users] for run in runs)
            assert found == expected


@functools.lru_cache(maxsize=1)
def _known(image_dir: Path) -> Known:
    image = open_image(image_dir)
    workload = Workload.from_reads(random_reads(image_dir, 40, seed=1), image)
    return Known(workload.layout, plan_options(), image, workload)


def _before_the_last_read(events: pa.Table) -> pa.Table:
    began = pc.max(events.filter(pc.equal(events["kind"], "read"))["t_ns"])
    return events.filter(pc.less(events["t_ns"], began))


def _listed(bound: Bound) -> list[list[int]]:
    """What is fetched from the start, and in which requests if it says so."""
    parts = bound.rows if isinstance(bound.rows, Batches) else [bound.rows]
    return [np.asarray(part).tolist() for part in parts]


def _suggested(bound: Bound, layout: Layout, reads: Sequence[tuple[int, int]]) -> list[list[int]]:
    """What is answered to reads of chunks, numbered round and round, that are ready or not."""
    ahead, chunks = bound.fresh(), len(layout.size)
    if ahead is None:
        return []
    out, answers = np.zeros(chunks, np.int64).data, []
    for number, ready in reads:
        count = ahead.on_read(ahead.ints, ahead.floats, number % chunks, ready, out)
        assert 0 <= count <= chunks
        answers.append(list(out[:count]))
    return answers
