"""The shaped link in real time: never faster than it may be, and the bytes are the backend's."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from storage.backend import Link, LocalFs, ShapedBackend
from storage.errors import BackendError, ConfigError, MissingBlobError

MS = 1_000_000
CONTENT = bytes(range(256)) * 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one blob of 102,400 bytes."""
    (tmp_path / "blob").write_bytes(CONTENT)
    return tmp_path


def read_ns(backend: ShapedBackend, length: int, times: int = 1) -> int:
    """Nanoseconds that so many reads at once take, one a thread."""
    reader = backend.get_reader("blob")

    def read() -> None:
        buffer = bytearray(length)
        assert reader.read_into(memoryview(buffer), 0).received == length
        assert buffer == CONTENT[:length]

    threads = [threading.Thread(target=read) for _ in range(times)]
    start = time.monotonic_ns()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic_ns() - start


def test_round_trip_and_bandwidth(folder: Path) -> None:
    """10,000 bytes at 1 MB/s after a round trip of 20 ms take 30 ms at least; the first byte takes 20."""
    backend = ShapedBackend(LocalFs(folder), Link(rtt_ns=20 * MS, bandwidth=1_000_000))
    start = time.monotonic_ns()
    transfer = backend.get_reader("blob").read_into(memoryview(bytearray(10_000)), 0)
    assert time.monotonic_ns() - start >= 30 * MS
    assert 20 * MS <= transfer.ttfb_ns < time.monotonic_ns() - start - 9 * MS


def test_all_share_the_bandwidth(folder: Path) -> None:
    """Four at once over 1 MB/s carry no more than that: 40,000 bytes take 40 ms and one round trip."""
    backend = ShapedBackend(LocalFs(folder), Link(rtt_ns=5 * MS, bandwidth=1_000_000))
    assert read_ns(backend, 10_000, times=4) >= 45 * MS


def test_connections(folder: Path) -> None:
    """With one connection, three requests have three round trips one after the other."""
    backend = ShapedBackend(LocalFs(folder), Link(rtt_ns=15 * MS, bandwidth=10**9, connections=1))
    assert read_ns(backend, 1, times=3) >= 45 * MS


def test_errors_come_through(folder: Path) -> None:
    """The backend's errors are the link's, and a request that failed leaves its connection to the next."""
    backend = ShapedBackend(LocalFs(folder), Link(rtt_ns=0, bandwidth=10**9, connections=1))
    with pytest.raises(MissingBlobError):
        backend.get_reader("another")
    reader = backend.get_reader("blob")
    assert (reader.blob_id, reader.blob_size()) == ("blob", len(CONTENT))
    for _ in range(3):
        with pytest.raises(BackendError, match="ends early"):
            reader.read_into(memoryview(bytearray(1)), len(CONTENT))
    assert reader.read_into(memoryview(bytearray(1)), 0).received == 1


def test_refused_by_the_link(folder: Path) -> None:
    """A request whose every try is refused fails after as many round trips, and frees its connection."""
    link = Link(rtt_ns=5 * MS, bandwidth=10**9, connections=1, errors_ppm=1_000_000, retries=2)
    reader = ShapedBackend(LocalFs(folder), link).get_reader("blob")
    for _ in range(2):
        start = time.monotonic_ns()
        with pytest.raises(BackendError, match="refused 3 tries"):
            reader.read_into(memoryview(bytearray(1)), 0)
        assert time.monotonic_ns() - start >= 15 * MS


def test_slow_start_and_pace(folder: Path) -> None:
    """700 bytes of a window of 100 take three round trips more; the next request waits for its turn."""
    link = Link(rtt_ns=10 * MS, bandwidth=10**9, window=100, requests_per_second=10)
    backend = ShapedBackend(LocalFs(folder), link)
    assert read_ns(backend, 700) >= 40 * MS
    assert read_ns(backend, 1) >= 60 * MS


@pytest.mark.parametrize(
    "wrong",
    [
        {"rtt_ns": -1}, {"jitter_ns": -1}, {"bandwidth": 0}, {"connections": 0}, {"bandwidth": 3, "connections": 4},
        {"jitter_ns": (5, 3)}, {"errors_ppm": 1_000_001}, {"window": -1}, {"retries": -1},
    ],
)  # fmt: skip
def test_no_such_link(wrong: dict[str, int]) -> None:
    """A link that cannot be is refused."""
    with pytest.raises(ConfigError):
        Link(**wrong)
