"""Warm reads through `BlobDevice`, against a loop of pread in C over the same cache file.

Run with ``python tests/bench/bench_warm.py``. Random offsets, one thread, rounds interleaved, medians, and of the
ratio that of the rounds. Nothing waits here, so it is the thread's time that counts, whatever else the machine does.
Wanted of the C loop's rate: 128 KiB 0.9 (0.85 with events), 4 KiB 0.3 (0.25 with events).
"""

from __future__ import annotations

import mmap
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from storage.device import BlobDevice, BlobIoVec
from storage.events import Recorder
from storage.testing.blobs import make_blobs, open_cache

MIB = 1 << 20
CHUNKS = 256
ROUNDS = 15
# A program makes the vector when it reads. Thousands that were made before would be fetched from memory first.
AT_ONCE = 64

C_LOOP = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int fd = open(argv[1], O_RDONLY), count = atoi(argv[3]);
    size_t size = atol(argv[2]);
    off_t *offsets = malloc(count * sizeof *offsets);
    FILE *list = fopen(argv[4], "rb");
    if (fread(offsets, sizeof *offsets, count, list) != (size_t)count) return 1;
    char *buffer = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    for (int i = 0; i < count; i++) if (pread(fd, buffer, size, offsets[i]) != (ssize_t)size) return 1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    printf("%.0f\n", (b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec));
}
"""


def main() -> None:
    """Print a row for each size, without and with events."""
    if shutil.which("cc") is None:
        print("bench_warm: there is no C compiler to compare with")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "loop.c").write_text(C_LOOP)
        subprocess.run(["cc", "-O2", "-o", folder / "loop", folder / "loop.c"], check=True)
        rng = np.random.default_rng(1)
        (folder / "blobs").mkdir()
        made = make_blobs(folder / "blobs", [[rng.bytes(MIB) for _ in range(CHUNKS)]])
        print(f"{'size':>8} {'events':>6} {'ours':>12} {'C':>12} {'ratio':>6} {'wanted':>6}")
        for size, count, wanted in ((128 << 10, 8_000, (0.9, 0.85)), (4 << 10, 100_000, (0.3, 0.25))):
            for recorder, least in zip((None, Recorder()), wanted, strict=True):
                cache = open_cache(made, folder / f"cache{size}{recorder is None}", recorder=recorder)
                device = BlobDevice(made.infos, made.blobs, made.chunks, cache)
                rows = list(range(CHUNKS))
                device.read_to(
                    BlobIoVec(made.infos[0], made.chunks, rows, [0] * CHUNKS, [MIB] * CHUNKS), [bytearray(CHUNKS * MIB)]
                )
                offsets = [random.randrange(CHUNKS * MIB // size) * size for _ in range(count)]
                ours = _ours(device, offsets, size)
                theirs = _loop(folder, cache.files[0].path, offsets, size)
                pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
                mine, his = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(his / mine for mine, his in pairs)
                events = "off" if recorder is None else "on"
                rates = f"{count / mine * 1e6:>9.0f}k/s {count / his * 1e6:>9.0f}k/s"
                print(f"{size >> 10:>5}KiB {events:>6} {rates} {ratio:>6.2f} {least:>6}")
                cache.close()


def _ours(device: BlobDevice, offsets: list[int], size: int) -> Callable[[], float]:
    buffers = [memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))]  # as in C
    chunks, info = device.chunks, device.infos[0]

    def run() -> float:
        spent = 0
        for first in range(0, len(offsets), AT_ONCE):
            some = offsets[first : first + AT_ONCE]
            vectors = [BlobIoVec(info, chunks, [at // MIB], [at % MIB], [size]) for at in some]
            start = time.thread_time_ns()
            for vector in vectors:
                device.read_to(vector, buffers)
            spent += time.thread_time_ns() - start
        return spent

    return run


def _loop(folder: Path, data: Path, offsets: list[int], size: int) -> Callable[[], float]:
    (folder / "offsets").write_bytes(np.array(offsets, np.int64).tobytes())
    command = [folder / "loop", data, str(size), str(len(offsets)), folder / "offsets"]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
