"""Ranges over HTTP from nginx on loopback: our readers against curl and Python's own clients, in the same run.

Run with ``python tests/bench/bench_http.py``. Medians of interleaved rounds: MB/s of 1 MiB ranges over 8 and over one
connection (wanted over 8: 0.6 of curl's), and requests/s of 4 KiB ranges over one and over 8 (wanted: 4,000; a busy
machine does not let curl have them either, so look at the ratios). Then what a 4 KiB range costs this process in
processor time, which other load changes less. Last, how often a body is copied: bytes allocated while 64 MiB are read.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import requests
import urllib3

from storage.backend.http import HttpClient, HttpOptions, HttpReader, Request

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.servers.nginx import nginx

SIZE = 256 << 20
CONNECTIONS = 8
ROUNDS = 5


def ours(reader: HttpReader, length: int, threads: int, count: int) -> float:
    """Seconds for so many ranges, by threads that each have one buffer."""

    def work(number: int) -> None:
        buffer = memoryview(bytearray(length))
        for turn in range(number, count, threads):
            reader.read_into(buffer, turn * length % SIZE)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    begun = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.monotonic() - begun


def curl(url: str, length: int, threads: int, count: int, folder: Path) -> float:
    """Seconds that as many curls take, each with its share of the ranges over one connection."""
    configs = []
    for number in range(threads):
        lines = []
        for turn in range(number, count, threads):
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


def peer(get: Callable[[int, memoryview], int], length: int, count: int) -> float:
    """Seconds that another client of Python's takes, one range after the other."""
    buffer = memoryview(bytearray(length))
    begun = time.monotonic()
    for turn in range(count):
        assert get(turn * length % SIZE, buffer) == length
    return time.monotonic() - begun


def headers_of(start: int, buffer: memoryview) -> dict[str, str]:
    """What asks for a range."""
    return {"Range": f"bytes={start}-{start + len(buffer) - 1}", "Accept-Encoding": "identity"}


def peers(port: int) -> dict[str, Callable[[int, memoryview], int]]:
    """Python's clients, each over one connection, with nothing around it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    pool, session = urllib3.HTTPConnectionPool("127.0.0.1", port), requests.Session()
    session.trust_env = False

    def by_http_client(start: int, buffer: memoryview) -> int:
        connection.request("GET", "/blob", headers=headers_of(start, buffer))
        return connection.getresponse().readinto(buffer)

    def by_urllib3(start: int, buffer: memoryview) -> int:
        buffer[:] = pool.request("GET", "/blob", headers=headers_of(start, buffer)).data
        return len(buffer)

    def by_requests(start: int, buffer: memoryview) -> int:
        buffer[:] = session.get(f"http://127.0.0.1:{port}/blob", headers=headers_of(start, buffer)).content
        return len(buffer)

    return {"http.client": by_http_client, "urllib3": by_urllib3, "requests": by_requests}


def processor(reader: HttpReader, ways: dict[str, Callable[[int, memoryview], int]]) -> None:
    """Print the microseconds of processor that a 4 KiB range costs, the least of the rounds."""

    def by_us(start: int, buffer: memoryview) -> int:
        return reader.read_into(buffer, start).received

    runs: dict[str, Callable[[], float]] = {
        name: partial(peer, get, 4096, 2000) for name, get in {"ours": by_us, **ways}.items()
    }
    runs[f"ours, {CONNECTIONS} threads"] = partial(ours, reader, 4096, CONNECTIONS, 2000)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.process_time()
            run()
            spent[name].append((time.process_time() - begun) / 2000 * 1e6)
    print("processor time, 4 KiB ranges    ", "   ".join(f"{name} {min(us):.0f} us" for name, us in spent.items()))


def compare(name: str, unit: str, scale: float, **ways: Callable[[], float]) -> None:
    """Print the rate of each way, the first one's as a ratio of each other."""
    rounds = [[way() for way in ways.values()] for _ in range(ROUNDS)]
    rates = [scale / statistics.median(column) for column in zip(*rounds, strict=True)]
    cells = [f"{way} {rate:>7,.0f} {unit} ({rates[0] / rate:.2f})" for way, rate in zip(ways, rates, strict=True)]
    print(f"{name:<32}", "   ".join(cells))


def copied(reader: HttpReader) -> float:
    """Bytes allocated at the peak for each byte of a body, its buffer not counted."""
    buffer = memoryview(bytearray(64 << 20))
    tracemalloc.start()
    reader.read_into(buffer, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / len(buffer)


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
            for threads, count in ((CONNECTIONS, 1024), (1, 512)):
                compare(
                    f"1 MiB ranges, {threads} connections",
                    "MB/s",
                    count * (1 << 20) / 1e6,
                    ours=lambda: ours(reader, 1 << 20, threads, count),  # noqa: B023
                    curl=lambda: curl(url, 1 << 20, threads, count, folder),  # noqa: B023
                )
            others = peers(server.port)
            compare(
                "4 KiB ranges, 1 connection",
                "req/s",
                4000,
                ours=lambda: ours(reader, 4096, 1, 4000),
                curl=lambda: curl(url, 4096, 1, 4000, folder),
                **{name: partial(peer, get, 4096, 4000) for name, get in others.items()},
            )
            compare(
                f"4 KiB ranges, {CONNECTIONS} connections",
                "req/s",
                8000,
                ours=lambda: ours(reader, 4096, CONNECTIONS, 8000),
                curl=lambda: curl(url, 4096, CONNECTIONS, 8000, folder),
            )
            processor(reader, others)
            print(f"allocated for each byte of a body: {copied(reader):.4f}")


if __name__ == "__main__":
    main()
