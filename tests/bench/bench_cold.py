"""The cold chain through the cache, against the bare chain of the same libraries; and a row of the recorder.

Run with ``python tests/bench/bench_cold.py``. The chain is: read the blob, decompress, verify with BLAKE3,
write the cache file, hand the bytes out; chunks of 1 MiB of real text and code, one thread and eight with a part
of the image each, rounds interleaved, medians. Wanted: 0.8.
"""

from __future__ import annotations

import itertools
import mmap
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from _bare import Bare
from _library import in_threads, library_chunks

from storage.codec import Compressor
from storage.device import BlobDevice, BlobIoVec
from storage.events import Kind, Recorder
from storage.testing.blobs import Made, make_blobs, open_cache

MIB = 1 << 20
CHUNKS = 96
ROUNDS = 5
_HIT = int(Kind.HIT)


def main() -> None:
    """Print a row for each codec, then the recorder's."""
    # In memory where there is such a place, so that the disk is not what is measured.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        folder = Path(place)
        print(f"{'codec':>10} {'threads':>7} {'ours':>10} {'bare':>10} {'ratio':>6} {'wanted':>6}")
        for compressor, threads in itertools.product((Compressor.LZ4_BLOCK, Compressor.ZSTD), (1, 8)):
            blobs = folder / str(compressor)
            if not blobs.exists():
                blobs.mkdir()
                made = make_blobs(blobs, [library_chunks(CHUNKS, MIB)], compressor)
            _pair(made, blobs, threads, ours_first=True)
            pairs = [_pair(made, blobs, threads, ours_first=number % 2 == 0) for number in range(ROUNDS)]
            mine, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            rate = CHUNKS * MIB / 1e6
            rates = f"{rate / mine:>6.0f}MB/s {rate / bare:>6.0f}MB/s {bare / mine:>6.2f}"
            print(f"{compressor!s:>10} {threads:>7} {rates} {0.8:>6}")
    _rows()


def _pair(made: Made, folder: Path, threads: int, ours_first: bool) -> tuple[float, float]:
    """Both, in either order, each on memory that the one before gave back: new memory costs ten times as much."""
    spent = {}
    for ours in (ours_first, not ours_first):
        place = folder / "written"
        spent[ours] = (_ours if ours else _bare)(made, place, threads)
        shutil.rmtree(place)
    return spent[True], spent[False]


def _ours(made: Made, folder: Path, threads: int) -> float:
    cache = open_cache(made, folder)
    device = BlobDevice(made.infos, made.blobs, made.chunks, cache)

    def work(number: int) -> None:
        buffers = [memoryview(mmap.mmap(-1, MIB))]
        for row in _part(number, threads):
            device.read_to(BlobIoVec(made.infos[0], made.chunks, [row], [0], [MIB]), buffers)

    spent = in_threads(work, threads)
    cache.close()
    return spent


def _bare(made: Made, folder: Path, threads: int) -> float:
    folder.mkdir()
    bare = Bare(made, "plain", folder / "bare")
    spent = in_threads(lambda number: bare.cold(_part(number, threads), memoryview(mmap.mmap(-1, MIB))), threads)
    bare.close()
    return spent


def _part(number: int, threads: int) -> range:
    return range(number * CHUNKS // threads, (number + 1) * CHUNKS // threads)


def _rows() -> None:
    """As the store logs: the number of a kind, not its name. Medians, flushing included."""
    first = Recorder()
    first.log(kind=_HIT)
    first.table()  # the first array of a process has pyarrow load pandas
    logged, tabled = zip(*(_row(60_000) for _ in range(ROUNDS)), strict=True)
    row, into = statistics.median(logged), statistics.median(tabled)
    print(f"a row: {row:.0f} ns (wanted 1000), and {into:.0f} ns into a table")


def _row(count: int) -> tuple[float, float]:
    recorder = Recorder()
    start = time.perf_counter_ns()
    for number in range(count):
        recorder.log(kind=_HIT, t_ns=number, read_id=number, chunk=3, chunks=1, user_bytes=4096)
    logged = time.perf_counter_ns()
    rows = recorder.table().num_rows
    return (logged - start) / count, (time.perf_counter_ns() - logged) / rows


if __name__ == "__main__":
    main()
