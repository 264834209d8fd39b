"""``workbench build`` of a 200 MB tree, whole process, against mkfs.erofs and a plain zstd pipe.

Run with ``python tests/bench/bench_build.py``. Wanted on two cores: 200 MB/s for zstd, 350 for lz4, 450 for none.
The three take turns; medians of a few rounds. Peers that are not installed are left out.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROUNDS = 3
LARGE, SMALL = 160, 4_000
BUILD = (sys.executable, "-c", "from workbench.cli import main; main()", "build")
WANTED = {"zstd": 200, "lz4_block": 350, "none": 450}
PEERS = {"zstd": "tar | zstd", "lz4_block": "mkfs.erofs lz4", "none": "mkfs.erofs none"}


def main() -> None:
    """Make the tree, let all take turns, and print."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        size = _make(tree)
        runs: dict[str, Callable[[Path], None]] = {
            **{f"build {name}": lambda out, name=name: _build(tree, out, name) for name in WANTED},
            **{f"mkfs.erofs {name}": lambda out, name=name: _erofs(tree, out, name) for name in ("lz4", "none")},
            "tar | zstd": lambda out: _pipe(tree, out),
        }
        spent: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                out = Path(place) / "out"
                start = time.perf_counter()
                run(out)
                if out.exists():
                    spent[name].append(time.perf_counter() - start)
                    shutil.rmtree(out) if out.is_dir() else out.unlink()
        medians = {name: statistics.median(seconds) for name, seconds in spent.items() if seconds}
        for name in spent:
            rate = f"{size / medians[name] / 1e6:6.0f} MB/s" if name in medians else "cannot be run here"
            print(f"{name:16} {rate}{_beside(name.removeprefix('build '), medians)}")


def _beside(compressor: str, medians: dict[str, float]) -> str:
    """What is wanted of a compressor, and how fast it is beside its peer in the same run."""
    if compressor not in WANTED:
        return ""
    peer = PEERS[compressor]
    ratio = f", {medians[peer] / medians[f'build {compressor}']:.2f} of {peer}" if peer in medians else ""
    return f" (wanted {WANTED[compressor]}{ratio})"


def _make(tree: Path) -> int:
    """Files of words, which compress to a third, and some noise; returns their bytes."""
    rng = np.random.default_rng(7)
    words = np.array([rng.bytes(int(n)) for n in rng.integers(2, 12, 4_000)], object)
    total = 0
    for number in range(LARGE + SMALL):
        folder = tree / f"{number // 200}"
        folder.mkdir(parents=True, exist_ok=True)
        count = 150_000 if number < LARGE else 1_500
        ranks = np.minimum(rng.zipf(1.3, count) - 1, len(words) - 1)
        content = b"".join(words[ranks].tolist())
        (folder / f"file-{number}").write_bytes(content)
        total += len(content)
    return total


def _build(tree: Path, out: Path, compressor: str) -> None:
    # Compiled once, as wherever the package was used before, and kept beside the tree.
    told = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told["PYTHONPYCACHEPREFIX"] = str(tree.parent / "compiled")
    command = [*BUILD, tree, "-o", out, "--compressor", compressor]
    subprocess.run(command, check=True, env=told, stdout=subprocess.DEVNULL)


def _erofs(tree: Path, out: Path, compressor: str) -> None:
    how = [] if compressor == "none" else ["-z", compressor]
    if shutil.which("mkfs.erofs"):
        subprocess.run(["mkfs.erofs", "--quiet", "-C", "1048576", *how, out, tree], capture_output=True, check=False)


def _pipe(tree: Path, out: Path) -> None:
    if shutil.which("zstd"):
        subprocess.run(f"tar -C {tree} -cf - . | zstd -q -3 -T2 -o {out}", shell=True, check=True)


if __name__ == "__main__":
    main()
