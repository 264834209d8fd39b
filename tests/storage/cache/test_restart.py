"""A cache folder outlives its process: what it holds is found again."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

from storage.backend import LocalFs
from storage.cache import FileCache
from storage.testing.backends import WatchedBackend, refuse
from storage.testing.blobs import Made, open_cache
from storage.testing.cache import assert_at_rest, read_chunks, ready_rows
from storage.testing.lru import plain_lru


def open_without_backend(made: Made, folder: Path) -> FileCache:
    """A cache whose every request fails."""
    return open_cache(made, folder, backend=WatchedBackend(LocalFs(made.folder), refuse))


def test_found_again(made: Made, tmp_path: Path) -> None:
    """What one cache had fetched the next one serves, byte for byte, without a request."""
    rows = [0, 1, 2, 30, 59, 60, 119]
    cache = open_cache(made, tmp_path)
    read_chunks(cache, made, rows)
    stored = cache.stored
    cache.close()
    cache = open_without_backend(made, tmp_path)
    assert (ready_rows(cache), cache.stored) == (rows, stored)
    read_chunks(cache, made, rows)
    assert_at_rest(cache)
    cache.close()


def test_found_by_a_smaller_cache(made: Made, tmp_path: Path) -> None:
    """A bounded cache over a folder that holds more evicts the first chunks until the rest fits."""
    cache = open_cache(made, tmp_path)
    read_chunks(cache, made, range(10))
    cache.close()
    kept = sum(len(made.contents[row]) for row in (7, 8, 9))
    cache = open_cache(made, tmp_path, capacity=kept, policy=plain_lru())
    assert (ready_rows(cache), cache.stored) == ([7, 8, 9], kept)
    assert_at_rest(cache)
    cache.close()
    cache = open_without_backend(made, tmp_path)
    assert ready_rows(cache) == [7, 8, 9]
    read_chunks(cache, made, [7, 8, 9])
    cache.close()


def test_all_ready_mark(made: Made, tmp_path: Path) -> None:
    """A chunk map that nydusd marked as complete counts all as ready, and can lose one chunk nevertheless."""
    cache = open_cache(made, tmp_path)
    read_chunks(cache, made, range(len(made.contents)))
    cache.close()
    for chunk_map in tmp_path.glob("*.chunk_map"):
        data = bytearray(chunk_map.read_bytes())
        data[12:16] = b"PAMM"
        data[4096:] = bytes(len(data) - 4096)
        chunk_map.write_bytes(data)
    total = sum(map(len, made.contents))
    cache = open_cache(made, tmp_path, capacity=total - 1, policy=plain_lru())
    assert ready_rows(cache) == list(range(1, len(made.contents)))
    cache.close()
    cache = open_without_backend(made, tmp_path)
    assert ready_rows(cache) == list(range(1, len(made.contents)))
    cache.close()


PROGRAM = """
import pickle, sys
from pathlib import Path
from storage.testing.blobs import open_cache
from storage.testing.cache import read_chunks
made = pickle.loads(Path(sys.argv[1]).read_bytes())
cache = open_cache(made, Path(sys.argv[2]))
for row in range(len(made.contents)):
    read_chunks(cache, made, [row])
    print(row, flush=True)
"""


def test_killed(made: Made, tmp_path: Path) -> None:
    """A process killed while it fetches leaves a folder in which all that is marked ready is right."""
    (tmp_path / "made").write_bytes(pickle.dumps(made))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "made"), str(tmp_path / "cache")]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 40:
                process.send_signal(signal.SIGKILL)
                break
    cache = open_without_backend(made, tmp_path / "cache")
    ready = ready_rows(cache)
    assert ready[:41] == list(range(41))
    for row in ready:
        read_chunks(cache, made, [row])
    cache.close()
