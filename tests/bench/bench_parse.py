"""Parsing a bootstrap into columns, v5 beside v6: inodes a second.

Run with ``python tests/bench/bench_parse.py``. Wanted: 1,000,000 inodes/s of either, and of v5's digests.
"""

from __future__ import annotations

import stat
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

from storage.image import check_inode_digests, open_bootstrap
from storage.image.build import Node, build

INODES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
ROUNDS = 5
PER_FOLDER = 100


def main() -> None:
    """Build the same tree as v5 and v6, then parse both by turns."""
    with tempfile.TemporaryDirectory() as place:
        data = {}
        for version in (5, 6):
            built = build(_tree(), Path(place, str(version)), version=version, compressor="none")
            data[version] = built.bootstrap.read_bytes()
            print(f"v{version}: {len(data[version]) / 1e6:.0f} MB of bootstrap")
        tasks: dict[str, Callable[[], object]] = {
            "v5": lambda: open_bootstrap(data[5]).image(),
            "v6": lambda: open_bootstrap(data[6]).image(),
        }
        spent: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(ROUNDS):
            for name, task in tasks.items():
                spent[name].append(_seconds(task))
        seconds = {name: statistics.median(times) for name, times in spent.items()}
        for name, taken in seconds.items():
            print(f"{name}: {taken:.2f} s, {INODES / taken:,.0f} inodes/s (wanted 1,000,000)")
        print(f"v6 takes {seconds['v6'] / seconds['v5']:.2f} of v5's time")
        opened = open_bootstrap(data[5])
        taken = _seconds(lambda: check_inode_digests(opened))
        print(f"v5 digests: {taken:.2f} s, {INODES / taken:,.0f} inodes/s")


def _tree() -> Node:
    """Directories of small files, each file of one chunk, a few contents in all."""
    root = Node(b"", "/", stat.S_IFDIR | 0o755)
    for number in range(INODES // PER_FOLDER):
        folder = Node(b"%06d" % number, "/", stat.S_IFDIR | 0o755)
        folder.children = [_file(index) for index in range(PER_FOLDER - 1)]
        root.children.append(folder)
    return root


def _file(index: int) -> Node:
    content = b"%d" % index
    file = Node(b"file-%02d" % index, "/", stat.S_IFREG | 0o644, mtime_ns=10**18 + index, size=len(content))
    file.open = lambda: nullcontext(BytesIO(content))
    return file


def _seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
