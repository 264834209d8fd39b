"""Ranges over HTTP from nginx on loopback: our readers against curl and obstore-free plain sockets, in the same run.

Prints, as medians of interleaved rounds, MB/s of 1 MiB ranges over 8 connections and requests/s of 4 KiB ranges over
one, each next to curl's.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from storage.backend.http import HttpClient, HttpOptions, HttpReader, Request
from tests.servers.nginx import nginx

SIZE = 256 << 20
CONNECTIONS = 8
ROUNDS = 5


def ours(reader: HttpReader, length: int, threads: int, requests: int) -> float:
    """Seconds for so many ranges, by threads that each have one buffer."""

    def work(number: int) -> None:
        buffer = memoryview(bytearray(length))
        for turn in range(number, requests, threads):
            reader.read_into(buffer, turn * length % SIZE)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    begun = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.monotonic() - begun


def curl(url: str, length: int, threads: int, requests: int, folder: Path) -> float:
    """Seconds that as many curls take, each with its share of the ranges over one connection."""
    configs = []
    for number in range(threads):
        lines = []
        for turn in range(number, requests, threads):
            start = turn * length % SIZE
            lines += [f'url = "{url}"', f'range = "{start}-{start + length - 1}"', 'output = "/dev/null"', "next"]
        config = folder / f"curl-{number}"
        config.write_text("\n".join(lines[:-1]))
        configs.append(config)
    begun = time.monotonic()
    running = [subprocess.Popen(["curl", "-s", "-K", str(config)]) for config in configs]
    for process in running:
        assert process.wait() == 0
    return time.monotonic() - begun


def compare(name: str, unit: str, scale: float, first: Callable[[], float], second: Callable[[], float]) -> None:
    """Print both rates and their ratio."""
    rounds = [(first(), second()) for _ in range(ROUNDS)]
    mine, other = (scale / statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{name:<34} {mine:>9,.0f} {unit}   curl {other:>9,.0f} {unit}   ratio {mine / other:.2f}")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root").mkdir()
        (folder / "root" / "blob").write_bytes(np.random.default_rng(1).bytes(SIZE))
        with nginx(folder / "nginx", folder / "root") as server:
            url = f"http://127.0.0.1:{server.port}/blob"
            client = HttpClient(url, HttpOptions(connections=CONNECTIONS, timeout=30))
            reader = HttpReader(client, "blob", lambda method: Request(method, url))
            ours(reader, 1 << 20, CONNECTIONS, 64)
            for length, threads, requests in ((1 << 20, CONNECTIONS, 1024), (1 << 20, 1, 512)):
                compare(
                    f"{length >> 20} MiB ranges, {threads} connections",
                    "MB/s",
                    requests * length / 1e6,
                    lambda: ours(reader, length, threads, requests),  # noqa: B023
                    lambda: curl(url, length, threads, requests, folder),  # noqa: B023
                )
            for threads in (1, CONNECTIONS):
                compare(
                    f"4 KiB ranges, {threads} connections",
                    "req/s",
                    8000,
                    lambda: ours(reader, 4096, threads, 8000),  # noqa: B023
                    lambda: curl(url, 4096, threads, 8000, folder),  # noqa: B023
                )
            print(client.metrics)


if __name__ == "__main__":
    main()
