"""``check --deep`` against decompressing and digesting the same chunks, with as many threads and no image."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from storage.codec import Compressor, Digester, buffer, compress, decompress_into, digest
from storage.image.build import build
from storage.image.verbs import check

SIZE, FILES, ROUNDS = 1 << 20, 256, 5


def main() -> None:
    """Print the ratio of medians, the two taking turns."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tree").mkdir()
        contents = [rng.integers(0, 24, SIZE, np.uint8).tobytes() for _ in range(FILES)]
        for number, content in enumerate(contents):
            (Path(folder) / "tree" / str(number)).write_bytes(content)
        build(Path(folder) / "tree", Path(folder) / "image")
        packed = [compress(Compressor.ZSTD, content) for content in contents]
        ours, bare = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            assert check(Path(folder) / "image", deep=True).verified == FILES
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(plain, packed))
            bare.append(time.perf_counter() - start)
    check_s, bare_s = statistics.median(ours), statistics.median(bare)
    rate = SIZE * FILES / 1e6
    print(f"check --deep {rate / check_s:,.0f} MB/s, decompression {rate / bare_s:,.0f}: {bare_s / check_s:.2f} of it")


def plain(stored: bytes) -> bytes:
    """What must be done for a chunk at the least."""
    target = buffer("bench", SIZE)
    decompress_into(Compressor.ZSTD, memoryview(stored), target)
    return digest(Digester.BLAKE3, target)


if __name__ == "__main__":
    main()
