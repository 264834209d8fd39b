"""What a thousand open images take: descriptors, threads, memory.

Run with ``python tests/bench/bench_many.py``. One image of 2,000 files is opened 1,000 times, each time with a cache
folder of its own, and a chunk is read through each.
"""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from pathlib import Path

from storage.factory import open_store
from storage.fs import Rafs
from storage.image.build import build

IMAGES = 1000
FILES = 2000


def main() -> None:
    """Print what each image takes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16 * IMAGES), hard))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "tree").mkdir()
        for number in range(FILES):
            (folder / "tree" / f"{number}").write_bytes(number.to_bytes(4, "little") * 1000)
        build(folder / "tree", folder / "image")
        opened = [open_store(folder / "image", cache_dir=folder / "warm-up")]
        before, files, begun = resident(), descriptors(), time.perf_counter()
        for number in range(IMAGES):
            opened.append(one(folder, number))
        spent = time.perf_counter() - begun
        print(f"descriptors an image  {(descriptors() - files) / IMAGES:8.1f}")
        print(f"threads               {threading.active_count():8}")
        print(f"memory an image       {(resident() - before) / IMAGES / 1024:8.0f} KiB, of {FILES} files")
        print(f"open and first read   {spent / IMAGES * 1e3:8.2f} ms")
        for rafs in opened:
            rafs.close()


def one(folder: Path, number: int) -> Rafs:
    """An open image from which something was read."""
    rafs = open_store(folder / "image", cache_dir=folder / f"cache-{number}", amplify_io=0)
    rafs.read(f"/{number % FILES}")
    return rafs


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def descriptors() -> int:
    """How many are open."""
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    main()
