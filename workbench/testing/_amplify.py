"""A conformance suite for amplification policies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.image import open_image
from storage.plan import Amplify, Layout, reach, windows
from workbench.replay import Settings, Workload, decisions, replay
from workbench.testing._serial import OnImage, random_reads, run_serially, unhurried

__all__ = ["AmplifyConformance"]


class AmplifyConformance(OnImage):
    """Subclass it as ``TestSomething``, and give it `longest` and `make`."""

    longest: int
    """Bytes of the blob beyond which no request is widened."""

    def make(self, needed: npt.NDArray[np.int64], layout: Layout) -> Amplify:
        """The policy for an image, of which a workload is known to need these chunk rows."""
        raise NotImplementedError

    def test_a_window_for_each_chunk(self, image_dir: Path) -> None:
        """Each chunk has one, none is negative, and none is larger than it is said to become."""
        _, workload = unhurried(image_dir, 40, seed=1)
        made = self.make(workload.touched, workload.layout)
        assert len(windows(made, len(workload.layout.size))) == len(workload.layout.size)
        assert reach(made) <= self.longest

    def test_no_further_than_it_says(self, image_dir: Path) -> None:
        """Files are read from front to back, and no request that is widened is longer than the longest window."""
        reads = random_reads(image_dir, 400, seed=2, longest=1).sort_by(
            [("path", "ascending"), ("offset", "ascending")]
        )
        reads = reads.set_column(reads.column_names.index("t_ns"), "t_ns", pa.array(np.arange(len(reads))))
        workload = Workload.from_reads(reads, open_image(image_dir))
        layout = workload.layout
        chosen = Settings(amplify_io=self.make(workload.touched, layout))
        requests = replay(workload, None, chosen).requests.to_pandas()
        widened = requests[requests["amplify"] > 0]
        ends, starts = layout.end[widened["last"]], layout.start[widened["first"]]
        assert (ends - starts <= self.longest).all()

    def test_same_again(self, image_dir: Path) -> None:
        """Made again, it is the same, and the layout that it was made of is what it was."""
        _, workload = unhurried(image_dir, 40, seed=3)
        before = [np.array(column) for column in workload.layout]
        first, second = (self.make(workload.touched, workload.layout) for _ in range(2))
        assert np.array_equal(first.window, second.window)
        assert (first.name, first.batch, first.limit) == (second.name, second.batch, second.limit)
        assert all(map(np.array_equal, before, workload.layout))

    def test_live_as_replayed(self, image_dir: Path, tmp_path: Path) -> None:
        """A live store that one reads from does what a replay of it does, and why, in that order."""
        reads, workload = unhurried(image_dir, 60, seed=4)
        lived, replayed = (Settings(amplify_io=self.make(workload.touched, workload.layout)) for _ in range(2))
        live = run_serially(image_dir, reads, lived, tmp_path, workload)
        assert decisions(replay(workload, None, replayed, record=True).events()) == decisions(live)
