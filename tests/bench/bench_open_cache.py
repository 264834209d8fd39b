"""Opening a cache of a million chunks, and what an open image takes in memory.

Run with ``python tests/bench/bench_open_cache.py``. Wanted: under 50 ms over a chunk table that is there, whether the
folder is empty, has every tenth chunk, or all; medians. Memory is what the process grows by for each further open
image, of a real tree where there is one (Python's standard library), divided up by tables, cache and the rest.
"""

from __future__ import annotations

import gc
import re
import statistics
import sysconfig
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.backend import LocalFs
from storage.cache import FileCache
from storage.cache.maps import IndexedChunkMap
from storage.factory import open_store
from storage.image.build import build
from storage.image.tables import Chunks
from storage.plan import plan_options
from storage.testing.blobs import Made, make_blobs

CHUNKS = 1_000_000
ROUNDS = 7
IMAGES = 20


def main() -> None:
    """Print a row for each state of the folder, then the memory."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = _million(folder)
        print(f"{'ready':>10} {'opened in':>10} {'wanted':>7}")
        for share in (0, 10, 1):
            cache = folder / f"cache-{share}"
            if share:
                _mark(made, cache, share)
            spent = statistics.median(_open(made, cache) for _ in range(ROUNDS))
            print(f"{CHUNKS // share if share else 0:>10,} {spent * 1e3:>8.1f}ms {50:>5}ms")
        _memory(folder)


def _million(folder: Path) -> Made:
    """A blob of one chunk, whose table says that it has a million, a page each."""
    (folder / "blobs").mkdir()
    made = make_blobs(folder / "blobs", [[b"a" * 4096]])
    number = np.arange(CHUNKS)
    columns = {
        name: np.repeat(getattr(made.chunks, name), CHUNKS, axis=0)
        for name in Chunks.__dataclass_fields__
        if name != "inflate"
    }
    columns |= {"index": number.astype(np.int32), "unit": number, "uncompressed_offset": number * 4096}
    columns["compressed_offset"] = number * int(made.chunks.compressed_size[0])
    blobs = replace(made.blobs, chunk_count=np.array([CHUNKS]))
    return made._replace(chunks=Chunks(**columns), blobs=blobs)


def _mark(made: Made, cache: Path, share: int) -> None:
    cache.mkdir()
    data = cache / f"{made.infos[0].blob_id}.blob.data"
    data.touch()
    with data.open("r+b") as file:
        file.truncate(CHUNKS * 4096)
    chunk_map = IndexedChunkMap(data, CHUNKS)
    chunk_map.set_ready(range(0, CHUNKS, share))
    chunk_map.close()


def _open(made: Made, cache: Path) -> float:
    readers = [LocalFs(made.folder).get_reader(info.blob_id) for info in made.infos]
    gc.collect()
    start = time.perf_counter()
    opened = FileCache(cache, made.infos, made.blobs, made.chunks, readers, plan_options())
    spent = time.perf_counter() - start
    opened.close()
    return spent


def _memory(folder: Path) -> None:
    build(sysconfig.get_path("stdlib"), folder / "image")
    before = _resident()
    opened = [open_store(folder / "image", cache_dir=folder / f"image-cache-{number}") for number in range(IMAGES)]
    each = (_resident() - before) / IMAGES
    image = opened[0].image
    tables = (image.inodes, image.chunks, image.entries, image.extents, image.blobs)
    columns = sum(
        getattr(table, name).nbytes for table in tables for name in table.__dataclass_fields__ if name != "inflate"
    )
    print(f"{len(image.inodes):,} inodes, {len(image.chunks):,} chunks: {each / 1e6:.1f} MB for each open image,")
    print(f"of which {columns / 1e6:.1f} MB are tables and {image.data.nbytes / 1e6:.1f} MB the bootstrap")
    for rafs in opened:
        rafs.close()


def _resident() -> int:
    """Resident bytes of this process, 0 where the system does not tell."""
    gc.collect()
    status = Path("/proc/self/status")
    return int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0]) * 1024 if status.exists() else 0


if __name__ == "__main__":
    main()
