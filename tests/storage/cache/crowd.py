"""Many threads of many processes on one cache folder, each process with a share of the chunks in every byte of the map.

Run as ``python crowd.py FOLDER PROCESSES THREADS SECONDS``. Prints how much they read.
"""

from __future__ import annotations

import collections
import os
import random
import sys
import threading
import time
from pathlib import Path

from storage.backend import LocalFs
from storage.cache import FileCache, read_chunk_map
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks

CHUNKS = 400


def main(folder: Path, processes: int, threads: int, seconds: float) -> None:
    """Read until the time is over, again and again from an empty folder; then see what is there."""
    dice = random.Random(1)
    (folder / "blobs").mkdir()
    made = make_blobs(folder / "blobs", [[dice.randbytes(dice.randrange(1, 9000)) for _ in range(CHUNKS)]])
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        rounds += 1
        cache = folder / f"cache-{rounds}"
        shares = [range(number, CHUNKS, processes) for number in range(processes)]
        children = [_start(made, cache, share, threads) for share in shares]
        for child in children:
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, f"round {rounds}: a process failed"
        chunk_map = cache / f"{made.infos[0].blob_id}.blob.data.chunk_map"
        assert read_chunk_map(chunk_map, CHUNKS).all(), f"round {rounds}: a chunk that was stored is not marked"
    print(f"{rounds} rounds of {processes} processes with {threads} threads: every byte right, every chunk marked")


def _start(made: Made, folder: Path, share: range, threads: int) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _work(made, folder, share, threads)
            status = 0
        finally:
            os._exit(status)
    return child


def _work(made: Made, folder: Path, share: range, threads: int) -> None:
    backend = WatchedBackend(LocalFs(made.folder))
    cache = open_cache(made, folder, backend=backend)
    failures: list[BaseException] = []
    readers = [threading.Thread(target=_read, args=(made, cache, share, seed, failures)) for seed in range(threads)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    if failures:
        raise failures[0]
    assert_at_rest(cache)
    cache.close()
    starts = made.chunks.compressed_offset
    asked = collections.Counter(
        row for _, at, size in backend.requests for row in ((starts >= at) & (starts < at + size)).nonzero()[0].tolist()
    )
    assert max(asked.values(), default=1) == 1, "a process asked for a chunk twice"


def _read(made: Made, cache: FileCache, share: range, seed: int, failures: list[BaseException]) -> None:
    order = list(share)
    random.Random(seed * 1000 + os.getpid()).shuffle(order)
    try:
        for row in order:
            read_chunks(cache, made, [row, share[share.index(row) - 1]])
    except BaseException as error:
        failures.append(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
