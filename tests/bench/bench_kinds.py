"""Eight threads on every kind of cache and of blob, cold and warm, against the bare chain of the same libraries.

Run with ``python tests/bench/bench_kinds.py [threads]``. Chunks of 1 MiB of real text and code; cold, each thread
reads a part of the image; warm, 128 KiB or 4 KiB at random. The bare chain has as many threads and does what has to be
done with the same bytes, each time: read, decrypt, decode, verify, write, copy. Rounds interleaved, medians, in
megabytes a second that are handed out. Wanted: 0.8 cold, 0.9 warm; a plain cache has nothing to do for 4 KiB but one
system call, and there 0.3 of a loop in C is wanted, which see `bench_warm`.
"""

from __future__ import annotations

import itertools
import mmap
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _bare import Bare
from _library import in_threads, library_chunks

from storage.testing.blobs import Made, open_cache
from storage.testing.machine import BLOBS, KINDS

SIZE, CHUNKS, ROUNDS = 1 << 20, 64, 5
READS = 16
SHOWN = ("plain", "validated", "raw", "encrypted")


def main() -> None:
    """Print a row for each kind of blob and cache."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    contents = [library_chunks(CHUNKS, SIZE)]
    columns = "".join(f"{what:>12} {'of bare':>7}" for what in ("cold", "128 KiB", "4 KiB"))
    print(f"{'blob':>10} {'cache':>10}{columns}    MB/s, {threads} threads")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        for (name, make), kind in itertools.product(BLOBS.items(), SHOWN):
            folder = Path(place) / name
            if not folder.exists():
                folder.mkdir()
                made = make(folder, contents)
            pairs = [_cold(made, kind, folder / "cache", threads), *_warm(made, kind, folder / "cache", threads)]
            print(f"{name:>10} {kind:>10}" + "".join(f"{ours:>12.0f} {ours / bare:>7.2f}" for ours, bare in pairs))


def _cold(made: Made, kind: str, place: Path, threads: int) -> tuple[float, float]:
    """Both, each on memory that the one before gave back."""
    share = len(made.chunks) // threads

    def ours() -> float:
        cache = open_cache(made, place, kind=KINDS[kind])

        def work(number: int) -> None:
            buffers = [_pages(SIZE)]
            for row in range(number * share, (number + 1) * share):
                cache.read([row], [0], [int(made.chunks.uncompressed_size[row])], buffers)

        spent = in_threads(work, threads)
        cache.close()
        return spent

    def theirs() -> float:
        place.mkdir()
        bare = Bare(made, kind, place / "bare")
        spent = in_threads(lambda number: bare.cold(range(number * share, (number + 1) * share), _pages(SIZE)), threads)
        bare.close()
        return spent

    def after(one: Callable[[], float]) -> Callable[[], float]:
        def run() -> float:
            spent = one()
            shutil.rmtree(place)
            return spent

        return run

    return _rates(after(ours), after(theirs), int(made.chunks.uncompressed_size[: share * threads].sum()))


def _warm(made: Made, kind: str, place: Path, threads: int) -> list[tuple[float, float]]:
    cache = open_cache(made, place, kind=KINDS[kind])
    cache.fetch(range(len(made.chunks)))
    bare = Bare(made, kind, place / "bare")
    bare.cold(range(len(made.chunks)), _pages(SIZE))
    whole = [row for row in range(len(made.chunks)) if made.chunks.uncompressed_size[row] == SIZE]

    def rates(size: int, reads: int) -> tuple[float, float]:
        def ours(number: int) -> None:
            dice, buffers = random.Random(number), [_pages(size)]
            for _ in range(reads):
                cache.read([dice.choice(whole)], [dice.randrange(SIZE // size) * size], [size], buffers)

        def theirs(number: int) -> None:
            dice, user = random.Random(number), _pages(size)
            for _ in range(reads):
                bare.warm(dice.choice(whole), dice.randrange(SIZE // size) * size, user)

        both = (lambda work=work: in_threads(work, threads) for work in (ours, theirs))
        return _rates(*both, threads * reads * size)

    found = [rates(size, READS * (50 if kind == "plain" else 1)) for size in (128 << 10, 4 << 10)]
    cache.close()
    bare.close()
    shutil.rmtree(place)
    return found


def _pages(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, size))


def _rates(ours: Callable[[], float], theirs: Callable[[], float], size: int) -> tuple[float, float]:
    """Megabytes a second of both, in turns."""
    spent: dict[Callable[[], float], list[float]] = {ours: [], theirs: []}
    for number in range(ROUNDS + 1):
        for one in (ours, theirs) if number % 2 else (theirs, ours):
            spent[one].append(one())
    mine, bare = (size / statistics.median(times[1:]) / 1e6 for times in spent.values())
    return mine, bare


if __name__ == "__main__":
    main()
