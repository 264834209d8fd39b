"""Eight threads on every kind of cache and of blob: cold, and warm against the plain cache of the same blob.

Run with ``python tests/bench/bench_kinds.py``. Chunks of 128 KiB of noise, each thread at random; rounds
interleaved, medians. What a kind costs warm is decoding, decrypting or verifying every chunk that is read.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from storage.cache import FileCache
from storage.testing.blobs import open_cache
from storage.testing.machine import BLOBS, KINDS

SIZE, CHUNKS, THREADS, READS, ROUNDS = 128 << 10, 128, 8, 48, 5
SHOWN = ("plain", "validated", "raw", "encrypted")


def main() -> None:
    """Print a row for each kind of blob and cache."""
    rng = np.random.default_rng(1)
    contents = [[rng.bytes(SIZE) for _ in range(CHUNKS)]]
    print(f"{'blob':>10} {'cache':>10} {'cold':>10} {'warm':>10} {'of plain':>8}")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        for name, make in BLOBS.items():
            folder = Path(place) / name
            folder.mkdir()
            made = make(folder, contents)
            caches = {kind: open_cache(made, Path(place) / f"{name}-{kind}", kind=KINDS[kind]) for kind in SHOWN}
            cold = {kind: _rate(cache) for kind, cache in caches.items()}
            for cache in caches.values():
                cache.fetch(range(CHUNKS))
            rounds = [{kind: _rate(cache) for kind, cache in caches.items()} for _ in range(ROUNDS)]
            warm = {kind: statistics.median(each[kind] for each in rounds) for kind in SHOWN}
            for kind, cache in caches.items():
                share = warm[kind] / warm["plain"]
                print(f"{name:>10} {kind:>10} {cold[kind]:>6.0f}MB/s {warm[kind]:>6.0f}MB/s {share:>8.2f}")
                cache.close()


def _rate(cache: FileCache) -> float:
    """Megabytes a second that all threads get together."""

    def read(seed: int) -> None:
        dice, buffer = random.Random(seed), bytearray(SIZE)
        for _ in range(READS):
            cache.read([dice.randrange(CHUNKS)], [0], [SIZE], [buffer])

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return THREADS * READS * SIZE / (time.perf_counter() - start) / 1e6


if __name__ == "__main__":
    main()
