"""What a bound and an index of chunks cost while they have nothing to do.

Run with ``python tests/bench/bench_idle.py``. The same reads through a plain cache, one with a capacity that is
never reached (LRU), and one with an index that finds nothing: processor time of the reading thread, rounds
interleaved, medians; so the load of the machine matters little. Wanted: at most 5 % more than the plain one; a warm
read of 4 KiB is so short that telling the policy of the hit is more than that.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from storage.cache import FileCache
from storage.testing.blobs import Made, make_blobs, open_cache
from workbench import policy

CHUNK = 1 << 20
CHUNKS = 32
ROUNDS = 9
WARM = 2000


def main() -> None:
    """Print a row for each kind of reading."""
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "blobs").mkdir()
        made = make_blobs(folder / "blobs", [[_half(dice) for _ in range(CHUNKS)]])
        lru = policy.get("lru")
        bound = {"capacity": 2 * CHUNK * CHUNKS, "policy": lru.functions, "arena": lru.arena(CHUNKS)}
        kinds: dict[str, dict[str, Any]] = {"plain": {}, "bounded": bound, "index": {"dedup": folder / "cas.db"}}
        times: dict[tuple[str, str], list[float]] = {}
        for number in range(ROUNDS):
            for name, settings in kinds.items():
                cache = open_cache(made, folder / f"{name}-{number}", **settings)
                for what, spent in _measure(cache, made).items():
                    times.setdefault((what, name), []).append(spent)
                cache.close()
                (folder / "cas.db").unlink(missing_ok=True)
    print(f"{'':28} {'plain':>10} {'bounded':>10} {'index':>10}")
    for what in dict.fromkeys(what for what, _ in times):
        plain = statistics.median(times[what, "plain"])
        ratios = [statistics.median(times[what, name]) / plain for name in kinds]
        print(f"{what:28} {plain * 1e6:8.1f}us {ratios[1]:9.3f}x {ratios[2]:9.3f}x")


def _half(dice: random.Random) -> bytes:
    """A chunk that compresses to half."""
    return dice.randbytes(CHUNK // 2) + bytes(CHUNK // 2)


def _measure(cache: FileCache, made: Made) -> dict[str, float]:
    """Seconds of processor time for each read."""
    found, buffer = {}, bytearray(CHUNK)
    begun = time.thread_time()
    for row in range(CHUNKS):
        cache.read([row], [0], [CHUNK], [buffer])
    found["cold, a chunk of 1 MiB"] = (time.thread_time() - begun) / CHUNKS
    for size in (128 << 10, 4 << 10):
        rows = [random.Random(size).randrange(CHUNKS) for _ in range(WARM)]
        small = bytearray(size)
        begun = time.thread_time()
        for row in rows:
            cache.read([row], [4096], [size], [small])
        found[f"warm, {size >> 10} KiB"] = (time.thread_time() - begun) / WARM
    return found


if __name__ == "__main__":
    main()
