"""What benchmarks read: real text and code, and threads that read it."""

from __future__ import annotations

import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path


def library_chunks(count: int, size: int) -> list[bytes]:
    """Chunks of the standard library's sources and extension modules, one after the other."""
    library = Path(sysconfig.get_path("stdlib"))
    files = (path for path in sorted(library.rglob("*")) if path.is_file() and path.suffix in (".py", ".so"))
    whole = b"".join(path.read_bytes() for path in files)
    whole = whole * (count * size // len(whole) + 1)
    # A number in each, so that none is the double of another.
    return [n.to_bytes(4, "big") + whole[n * size : (n + 1) * size - 4] for n in range(count)]


def in_threads(work: Callable[[int], None], threads: int) -> float:
    """Seconds until all threads have done their part, of which each has a number."""
    crew = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    start = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return time.perf_counter() - start
