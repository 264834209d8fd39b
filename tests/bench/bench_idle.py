"""What a bound and an index of chunks cost while they have nothing to do.

Run with ``python tests/bench/bench_idle.py``. The same reads, of half an image, through a plain cache, one with room
for all of the image (LRU), one with room for that half only, and one with an index that finds nothing: processor time
of the reading thread, the best of interleaved rounds; so the load of the machine matters little. Wanted: at most 5 %
more than the plain one. Where all of the image fits there is nothing to decide; where only what is read does, each hit
is told to the policy, thousands of them at once by compiled code, which is there before this begins: without it, as in
the first two seconds of a process that reads so much, or for ever with a policy in plain Python, LRU makes a quarter.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from storage.cache import ChunkIndex, FileCache, Held
from storage.testing.blobs import Made, make_blobs, open_cache
from workbench import policy
from workbench.policy._hits import InBulk

CHUNK = 1 << 20
CHUNKS = 32
ROUNDS = 9
WARM = 8192
SMALL = 256 << 10
GROUP = 64
GROUPS = 6
ENTRIES = 100_000


def main() -> None:
    """Print a row for each kind of reading."""
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "blobs").mkdir()
        made = make_blobs(folder / "blobs", [[_half(dice) for _ in range(2 * CHUNKS)]])
        lru = policy.get("lru")
        assert isinstance(lru.functions, InBulk)
        lru.functions.wait()
        bound = {"policy": lru.functions, "arena": lru.arena(2 * CHUNKS)}
        kinds: dict[str, dict[str, Any]] = {
            "plain": {},
            "all fits": bound | {"capacity": 2 * CHUNK * CHUNKS},
            "half fits": bound | {"capacity": CHUNK * CHUNKS},
            "index": {"dedup": folder / "cas.db"},
        }
        times: dict[tuple[str, str], list[float]] = {}
        for number in range(ROUNDS):
            for name, settings in random.Random(number).sample(sorted(kinds.items()), len(kinds)):
                cache = open_cache(made, folder / f"{name}-{number}", **settings)
                for what, spent in _measure(cache, made).items():
                    times.setdefault((what, name), []).append(spent)
                cache.close()
                (folder / "cas.db").unlink(missing_ok=True)
    print(f"{'':24}" + "".join(f"{name:>12}" for name in kinds))
    for what in dict.fromkeys(what for what, _ in times):
        plain, *others = (min(times[what, name]) for name in kinds)
        print(f"{what:24}{plain * 1e6:10.1f}us" + "".join(f"{other / plain:11.3f}x" for other in others))
    print(f"{'cold, chunks of 256 KiB':24}{'index':>12}{'entered in':>16}")
    for entries in (0, ENTRIES):
        for order in ("in order", "at random"):
            ratio, entering = _cold_with_index(order, entries)
            print(f"{order}, {entries:<12,}{ratio:11.3f}x{entering * 1e6:9.1f} us each")


def _cold_with_index(order: str, entries: int) -> tuple[float, float]:
    """How much longer reads take with an index, and seconds of processor time for each entry."""
    dice, ratios, entering = random.Random(2), [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "blobs").mkdir()
        made = make_blobs(folder / "blobs", [[_half(dice, SMALL) for _ in range(GROUP * GROUPS)]])
        for number in range(ROUNDS):
            index = ChunkIndex(folder / f"{number}.db")
            index.add((f"Blake3:{dice.randbytes(32).hex()}", Held(f"/{at % 10}", at)) for at in range(entries))
            index.close()
            plain = open_cache(made, folder / f"plain-{number}")
            other = open_cache(made, folder / f"index-{number}", dedup=index.path)
            rows = list(range(GROUP * GROUPS))
            if order == "at random":
                dice.shuffle(rows)
            for turn, first in enumerate(range(0, len(rows), GROUP)):
                group = rows[first : first + GROUP]
                spent = {cache: _spent(cache, group) for cache in ((plain, other), (other, plain))[turn % 2]}
                ratios.append(spent[other] / spent[plain])
            begun = time.thread_time()
            other.close()
            entering.append((time.thread_time() - begun) / len(rows))
            plain.close()
    return statistics.median(ratios), min(entering)


def _spent(cache: FileCache, rows: list[int]) -> float:
    buffer, begun = bytearray(SMALL), time.thread_time()
    for row in rows:
        cache.read([row], [0], [SMALL], [buffer])
    return time.thread_time() - begun


def _half(dice: random.Random, size: int = CHUNK) -> bytes:
    """A chunk that compresses to half."""
    return dice.randbytes(size // 2) + bytes(size // 2)


def _measure(cache: FileCache, made: Made) -> dict[str, float]:
    """Seconds of processor time for each read."""
    found, buffer, each = {}, bytearray(CHUNK), []
    for row in range(CHUNKS):
        begun = time.thread_time()
        cache.read([row], [0], [CHUNK], [buffer])
        each.append(time.thread_time() - begun)
    found["cold, a chunk of 1 MiB"] = statistics.median(each)
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
