"""Kills a process that reads through a cache, again and again, and looks at what it left.

Run as ``python kills.py FOLDER ROUNDS SEED``; a process of its own, since it forks. Prints what it did.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from storage.backend import LocalFs
from storage.cache import ChunkIndex, FileCache, _entries, read_chunk_map
from storage.plan import PREFETCH, Reg
from storage.testing.backends import WatchedBackend
from storage.testing.blobs import Made, make_blobs, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru

CHUNKS = 96
DOING = ("reads", "prefetch", "eviction")


def main(folder: Path, rounds: int, seed: int) -> None:
    """Kill `rounds` times, and check after each."""
    dice = random.Random(seed)
    (folder / "blobs").mkdir()
    made = make_blobs(folder / "blobs", [[dice.randbytes(dice.randrange(1, 40_000)) for _ in range(CHUNKS)]])
    sizes = [len(content) for content in made.contents]
    in_flight = kept = entries = 0
    _entries._DELAY_S = 0.002
    doing, killed = mmap.mmap(-1, len(DOING)), [0] * len(DOING)
    for number in range(rounds):
        capacity = sum(sizes) // 4 if number % 2 else None
        cache_folder = folder / f"cache-{number % 2}-{number // 10}"  # ten lives each
        index = folder / f"index-{number % 2}-{number // 20}.db"  # of two folders, the second may copy from the first
        doing[:] = bytes(len(DOING))
        child = os.fork()
        if child == 0:
            _work(made, cache_folder, index, capacity, 0 if number % 3 == 0 else 2, dice.randrange(1 << 30), doing)
        time.sleep(dice.uniform(0.001, 0.04))
        _wait_for(doing, (0, 2, 1, 3)[number % 4])
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"round {number}: the reader ended by itself with {status}"
        killed = [count + (under_way > 0) for count, under_way in zip(killed, doing[:], strict=True)]
        ready = _marked(made, cache_folder)
        in_flight += _differs(made, cache_folder, ready)
        kept += len(ready)
        assert capacity is None or sum(sizes[row] for row in ready) <= capacity
        entries += len(_entered(made, index))
        _open_again(made, cache_folder, index, capacity, ready, wait=number % 4 == 3)
    print(f"{rounds} kills, {kept} chunks kept, {entries} entries held, {in_flight} written but not marked")
    print("killed during " + ", ".join(f"{what} {count}" for what, count in zip(DOING, killed, strict=True)))


def _work(
    made: Made, folder: Path, index: Path, capacity: int | None, readers: int, seed: int, doing: mmap.mmap
) -> None:
    """Read and prefetch until killed; never returns. `doing` says what is under way.

    Prefetch steps back for readers, so there are none in some rounds.
    """
    try:
        cache = open_cache(made, folder, capacity=capacity, policy=plain_lru(), amplify_io=64 << 10, dedup=index)
        _watch(cache, doing)
        for number in range(readers):
            threading.Thread(target=_read, args=(made, cache, seed + number), daemon=True).start()
        dice = random.Random(seed)
        while True:
            cache.prefetch(dice.sample(range(CHUNKS), 8))
            time.sleep(0.002)
    finally:
        os._exit(1)


def _wait_for(doing: mmap.mmap, what: int) -> None:
    """Kill while it is under way, if it is any time soon; there is a number for any moment, too."""
    end = time.monotonic() + 0.04
    while what < len(DOING) and not doing[what] and time.monotonic() < end:
        time.sleep(0.0001)


def _watch(cache: FileCache, doing: mmap.mmap) -> None:
    """Count in `doing` the fetches for users, those of prefetch, and evictions that are under way."""
    fetcher, lock = cache.fetcher, threading.Lock()
    fetch, evict = fetcher.fetch, fetcher.evict

    def count(what: int, step: int) -> None:
        with lock:
            doing[what] += step

    def watched_fetch(read: Any, *rest: Any) -> None:
        what = int(read.reg[Reg.KIND] == PREFETCH)
        count(what, 1)
        fetch(read, *rest)
        count(what, -1)

    def watched_evict(victims: Any) -> None:
        count(2, bool(victims))
        evict(victims)
        count(2, -bool(victims))

    fetcher.fetch, fetcher.evict = watched_fetch, watched_evict  # type: ignore[method-assign]


def _read(made: Made, cache: FileCache, seed: int) -> None:
    dice = random.Random(seed)
    try:
        while True:
            first = dice.randrange(CHUNKS)
            read_chunks(cache, made, range(first, min(first + dice.randrange(1, 4), CHUNKS)))
    finally:
        os._exit(2)


def _marked(made: Made, folder: Path) -> list[int]:
    """Chunks that the map on disk calls ready; each has the right bytes in the cache file."""
    chunk_map = folder / f"{made.infos[0].blob_id}.blob.data.chunk_map"
    if not chunk_map.exists() or not any(chunk_map.read_bytes()[:16]):
        return []  # killed before it was made
    ready = read_chunk_map(chunk_map, CHUNKS).nonzero()[0].tolist()
    data = (folder / f"{made.infos[0].blob_id}.blob.data").read_bytes() if ready else b""
    for row in ready:
        at = int(made.chunks.uncompressed_offset[row])
        assert data[at : at + len(made.contents[row])] == made.contents[row], f"chunk {row} is marked and not there"
    return ready


def _differs(made: Made, folder: Path, ready: list[int]) -> int:
    """Chunks whose bytes are there in part or whole, but that are not marked."""
    path = folder / f"{made.infos[0].blob_id}.blob.data"
    data = path.read_bytes() if path.exists() else b""
    offsets = made.chunks.uncompressed_offset
    return sum(
        any(data[int(offsets[row]) : int(offsets[row]) + len(made.contents[row])])
        for row in set(range(CHUNKS)) - set(ready)
    )


def _entered(made: Made, index: Path) -> set[tuple[str, int]]:
    """Where the index says that chunks are; each is there, marked or not."""
    if not index.exists():
        return set()
    names = {f"Blake3:{made.chunks.digest[row].tobytes().hex()}": row for row in range(CHUNKS)}
    found, opened = set(), ChunkIndex(index)
    for name, places in opened.find(sorted(names)).items():
        content = made.contents[names[name]]
        for path, offset in places:
            with Path(path).open("rb") as file:
                file.seek(offset)
                assert file.read(len(content)) == content, f"chunk {names[name]} is entered and not there"
            found.add((Path(path).parent.name, names[name]))
    opened.close()
    return found


def _open_again(made: Made, folder: Path, index: Path, capacity: int | None, ready: list[int], wait: bool) -> None:
    """What was marked is served without a request, and everything right; what is marked is entered in a while."""
    backend = WatchedBackend(LocalFs(made.folder))
    cache = open_cache(made, folder, backend=backend, capacity=capacity, policy=plain_lru(), dedup=index)
    assert ready_rows(cache) == ready
    if ready:
        read_chunks(cache, made, ready)
    assert backend.requests == []
    read_chunks(cache, made, range(CHUNKS))
    assert_at_rest(cache)
    end, wanted = time.monotonic() + 10, {(folder.name, row) for row in ready_rows(cache)}
    while wait and not wanted <= _entered(made, index):
        assert time.monotonic() < end, "a chunk is marked and never entered"
        time.sleep(0.005)
    cache.close()
    for row in range(0, CHUNKS, 3):  # so that the next life has something to fetch
        _forget(made, folder, row)


def _forget(made: Made, folder: Path, row: int) -> None:
    """Clear a chunk's bit."""
    path = folder / f"{made.infos[0].blob_id}.blob.data.chunk_map"
    content = bytearray(path.read_bytes())
    content[4096 + row // 8] &= ~(0x80 >> row % 8)
    path.write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
