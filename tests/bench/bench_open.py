"""Opening an image of 100,000 files, against walking the same tree on disk; and building it.

Run with ``python tests/bench/bench_open.py``. Wanted: under 0.5 s and 200 MB. Each is measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from storage.image import open_image
from storage.image.build import build

FILES = 100_000
ROUNDS = 5


def main() -> None:
    """Build the tree and the image, open it a few times, and print."""
    with tempfile.TemporaryDirectory() as place:
        tree, image = Path(place) / "tree", Path(place) / "image"
        for number in range(FILES):
            folder = tree / f"{number // 10_000}" / f"{number // 100}"
            if number % 100 == 0:
                folder.mkdir(parents=True)
            (folder / f"file-{number}").write_bytes(b"%d" % number)
        start = time.perf_counter()
        build(tree, image)
        print(f"built: {FILES / (time.perf_counter() - start):,.0f} files/s")
        opened = [_apart(_open, image) for _ in range(ROUNDS)]
        walked = [_apart(_walk, tree) for _ in range(ROUNDS)]
        seconds, peak = (statistics.median(column) for column in zip(*opened, strict=True))
        peer = statistics.median(column[0] for column in walked)
        print(f"opened: {seconds:.2f} s (wanted 0.5), {peak / 1e6:.0f} MB more than before (wanted 200)")
        print(f"os.walk and lstat over the tree itself: {peer:.2f} s, ratio {peer / seconds:.1f}")


def _apart(function: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """Seconds, and growth of the peak resident size, of a call in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, path))


def _measured(function: Callable[[Path], None], path: Path) -> tuple[float, float]:
    before = _peak()
    start = time.perf_counter()
    function(path)
    spent = time.perf_counter() - start
    return spent, _peak() - before


def _peak() -> int:
    """The peak resident size of this process in bytes; unlike getrusage's not the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _open(path: Path) -> None:
    assert len(open_image(path).inodes) > FILES


def _walk(path: Path) -> None:
    for folder, _, files in os.walk(path):
        for name in files:
            os.lstat(os.path.join(folder, name))


if __name__ == "__main__":
    main()
