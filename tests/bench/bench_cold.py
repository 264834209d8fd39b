"""The cold chain through the cache, against the bare chain of the same libraries; and a row of the recorder.

Run with ``python tests/bench/bench_cold.py``. The chain is: read the blob, decompress, verify with BLAKE3,
write the cache file, hand the bytes out; chunks of 1 MiB of real text and code, one thread, rounds
interleaved, medians. Wanted: 0.8.
"""

from __future__ import annotations

import mmap
import os
import shutil
import statistics
import sysconfig
import tempfile
import time
from pathlib import Path

from storage.codec import Compressor, Digester, decompress_into, digest
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
        print(f"{'codec':>10} {'ours':>10} {'bare':>10} {'ratio':>6} {'wanted':>6}")
        for compressor in (Compressor.LZ4_BLOCK, Compressor.ZSTD):
            blobs = folder / str(compressor)
            blobs.mkdir()
            made = make_blobs(blobs, [_contents()], compressor)
            _pair(made, blobs, ours_first=True)
            pairs = [_pair(made, blobs, ours_first=number % 2 == 0) for number in range(ROUNDS)]
            mine, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            rate = CHUNKS * MIB / 1e6
            print(f"{compressor!s:>10} {rate / mine:>6.0f}MB/s {rate / bare:>6.0f}MB/s {bare / mine:>6.2f} {0.8:>6}")
    _rows()


def _pair(made: Made, folder: Path, ours_first: bool) -> tuple[float, float]:
    """Both, in either order, each on memory that the one before gave back: new memory costs ten times as much."""
    spent = {}
    for ours in (ours_first, not ours_first):
        place = folder / "written"
        spent[ours] = _ours(made, place) if ours else _bare(made, place / "bare")
        shutil.rmtree(place)
    return spent[True], spent[False]


def _contents() -> list[bytes]:
    """Chunks of the standard library's sources and extension modules, one after the other."""
    library = Path(sysconfig.get_path("stdlib"))
    files = (path for path in sorted(library.rglob("*")) if path.is_file() and path.suffix in (".py", ".so"))
    whole = b"".join(path.read_bytes() for path in files)
    whole = whole * (CHUNKS * MIB // len(whole) + 1)
    # A number in each, so that none is the double of another.
    return [n.to_bytes(4, "big") + whole[n * MIB : (n + 1) * MIB - 4] for n in range(CHUNKS)]


def _ours(made: Made, folder: Path) -> float:
    cache = open_cache(made, folder)
    device = BlobDevice(made.infos, made.blobs, made.chunks, cache)
    buffers = [memoryview(mmap.mmap(-1, MIB))]
    start = time.perf_counter()
    for row in range(CHUNKS):
        device.read_to(BlobIoVec(made.infos[0], made.chunks, [row], [0], [MIB]), buffers)
    spent = time.perf_counter() - start
    cache.close()
    return spent


def _bare(made: Made, path: Path) -> float:
    path.parent.mkdir()
    blob = os.open(made.folder / made.infos[0].blob_id, os.O_RDONLY)
    out = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(out, CHUNKS * MIB)
    stored, plain, user = (memoryview(mmap.mmap(-1, 2 * MIB)) for _ in range(3))
    chunks, compressor = made.chunks, made.infos[0].compressor
    start = time.perf_counter()
    for row in range(CHUNKS):
        length, size = int(chunks.compressed_size[row]), int(chunks.uncompressed_size[row])
        os.preadv(blob, [stored[:length]], int(chunks.compressed_offset[row]))
        source, target = stored[:length], plain[:size]
        if chunks.compressed[row]:
            decompress_into(compressor, source, target)
        else:
            target = source
        assert digest(Digester.BLAKE3, target) == chunks.digest[row].tobytes()
        os.pwrite(out, target, int(chunks.uncompressed_offset[row]))
        user[:size] = target
    spent = time.perf_counter() - start
    os.close(blob)
    os.close(out)
    return spent


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
