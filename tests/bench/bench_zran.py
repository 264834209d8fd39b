"""A read of 4 KiB at a random place of a gzip layer of 100 MB: bytes fetched and inflated, against the whole layer."""

from __future__ import annotations

import gzip
import io
import random
import statistics
import tarfile
import tempfile
import time
from pathlib import Path

from storage.events import Recorder
from storage.factory import open_store
from storage.fs import Rafs
from storage.image.build import build_layer

STORED = 100 << 20
READS = 40


def main() -> None:
    """Build a layer of files as programs have them, and read it at random, cold each time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_layer(folder / "layer.tar.gz")
        began = time.thread_time()
        build_layer(folder / "layer.tar.gz", folder / "image", conversion="targz-ref")
        building = time.thread_time() - began
        beside = sum(path.stat().st_size for path in (folder / "image" / "blobs").iterdir()) - size
        print(f"layer {size / 1e6:.0f} MB, beside it {beside / 1e6:.1f} MB, {building:.1f} s to build")
        spans, whole = [], []
        recorder = Recorder()
        with open_store(folder / "image", cache_dir=folder / "cache", amplify_io=0, recorder=recorder) as rafs:
            for number in range(READS):
                spans.append(one_read(rafs, recorder, number))
                if number % 10 == 0:
                    whole.append(inflate_all(folder / "layer.tar.gz"))
    fetched, inflated, seconds = (statistics.median(column) for column in zip(*spans, strict=True))
    print(f"{'':24}{'fetched':>14}{'inflated':>14}{'CPU ms':>10}")
    print(f"{'one span (median)':24}{fetched:14,.0f}{inflated:14,.0f}{seconds * 1e3:10.1f}")
    plain, all_of_it = statistics.median(one[0] for one in whole), statistics.median(one[1] for one in whole)
    print(f"{'the whole layer':24}{size:14,}{plain:14,.0f}{all_of_it * 1e3:10.1f}")
    print(f"{'ratio':24}{size / fetched:14.0f}{plain / inflated:14.0f}{all_of_it / seconds:10.0f}")


def write_layer(place: Path) -> int:
    """A tar.gz of text and noise in files of 64 KiB to 32 MiB; returns its bytes."""
    draw = random.Random(4)
    words = [draw.randbytes(draw.randrange(2, 12)) for _ in range(3000)]
    with gzip.open(place, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        number = 0
        while place.stat().st_size < STORED:
            data = b"".join(draw.choices(words, k=draw.choice((1 << 13, 1 << 16, 1 << 19, 1 << 22))))
            info = tarfile.TarInfo(f"f{number}")
            info.size, number = len(data), number + 1
            tar.addfile(info, io.BytesIO(data))
    return place.stat().st_size


def one_read(rafs: Rafs, recorder: Recorder, number: int) -> tuple[int, int, float]:
    """Bytes fetched, bytes inflated, seconds of one read at a place that was not read before."""
    draw, image = random.Random(number), rafs.image
    rows = [row for row in range(len(image.inodes)) if image.inodes.extents[row]]
    row = draw.choices(rows, weights=[int(image.inodes.size[row]) for row in rows])[0]
    at = draw.randrange(int(image.inodes.size[row]))
    before, began = recorder.table().num_rows, time.thread_time()
    rafs.read(row, at, 4096)
    seconds = time.thread_time() - began
    events = recorder.table().slice(before).to_pandas()
    chunks = image.segments(row, at, 4096)[0]
    units = {int(image.chunks.unit[chunk]): int(image.chunks.unit_size[chunk]) for chunk in chunks}
    fetched = int(events.loc[events["kind"] == "request", "length"].sum())
    return fetched, sum(units.values()) if fetched else 0, seconds


def inflate_all(layer: Path) -> tuple[int, float]:
    """What a reader without contexts does for its last byte."""
    began, size = time.thread_time(), 0
    with gzip.open(layer) as stream:
        while data := stream.read(1 << 20):
            size += len(data)
    return size, time.thread_time() - began


if __name__ == "__main__":
    main()
