"""Wrappers: as good as what they wrap, but for what they are told to do; and any of them around any other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.backend import (
    BlobBackend,
    Delay,
    Fault,
    FaultyBackend,
    Link,
    LocalFs,
    MeteredBackend,
    RecordingBackend,
    Refuse,
    Reset,
    ShapedBackend,
    Stall,
    Truncate,
    WrongBytes,
    scripted,
    seeded,
)
from storage.errors import BackendError, ConfigError, MissingBlobError
from storage.testing.backend_conformance import BackendConformance

CONTENT = bytes(range(256)) * 4


class TestWrapped(BackendConformance):
    """The suite, through every wrapper at once."""

    @pytest.fixture
    def backend(self, blobs: Mapping[str, bytes], tmp_path: Path) -> BlobBackend:
        """A folder behind a recorder, a meter, faults that never come, and a link."""
        for blob_id, content in blobs.items():
            (tmp_path / blob_id).write_bytes(content)
        link = Link(rtt_ns=0, bandwidth=10**10, connections=16)
        shaped = ShapedBackend(LocalFs(tmp_path), link)
        return RecordingBackend(MeteredBackend(FaultyBackend(shaped, seeded(0, {Reset(): 0.0}))))


def faulty(folder: Path, *faults: Fault | None) -> RecordingBackend:
    """A recorded blob of 1024 bytes, and what happens to its requests."""
    (folder / "blob").write_bytes(CONTENT)
    return RecordingBackend(FaultyBackend(LocalFs(folder), scripted(faults)))


def read(backend: BlobBackend, offset: int, length: int) -> bytearray:
    """A range of the blob."""
    buffer = bytearray(length)
    backend.get_reader("blob").read_into(memoryview(buffer), offset)
    return buffer


@pytest.mark.parametrize(
    ("fault", "message", "at"),
    [
        (Reset(), "reset", 10),
        (Reset(7), "reset", 17),
        (Reset(500), "reset", 110),
        (Truncate(99), "ends early", 109),
        (Stall(0.05, after=3), "in time", 13),
        (Refuse(500), "answers 500", 10),
        (Refuse(429), "answers 429", 10),
    ],
)
def test_failures(fault: Fault, message: str, at: int, tmp_path: Path) -> None:
    """A fault fails its request, by blob and the byte that did not come, and no other; nothing is lost by then."""
    backend = faulty(tmp_path, None, fault)
    assert read(backend, 10, 100) == CONTENT[10:110]
    buffer = bytearray(100)
    with pytest.raises(BackendError, match=message) as failed:
        backend.get_reader("blob").read_into(memoryview(buffer), 10)
    assert not isinstance(failed.value, MissingBlobError)
    assert failed.value.where == {"blob": "blob", "offset": at}
    assert buffer == CONTENT[10:at] + bytes(110 - at)
    assert read(backend, 10, 100) == CONTENT[10:110]
    assert [bool(request.error) for request in backend.requests] == [False, True, False]


@pytest.mark.parametrize("status", [404, 410])
def test_gone(status: int, tmp_path: Path) -> None:
    """A server that says so has lost the blob."""
    with pytest.raises(MissingBlobError):
        read(faulty(tmp_path, Refuse(status)), 0, 1)


def test_delay_and_stall_take_their_time(tmp_path: Path) -> None:
    """A delay counts as time to the first byte; a stall fails after its timeout."""
    backend = faulty(tmp_path, Delay(0.05), Stall(0.05))
    assert read(backend, 0, 10) == CONTENT[:10]
    start = time.monotonic()
    with pytest.raises(BackendError):
        read(backend, 0, 10)
    assert time.monotonic() - start >= 0.05
    first, second = backend.requests
    assert 50_000_000 <= first.ttfb_ns <= first.dur_ns
    assert second.dur_ns >= 50_000_000


def test_wrong_bytes(tmp_path: Path) -> None:
    """Bytes are turned over where the fault says, and nowhere past the range."""
    backend = faulty(tmp_path, WrongBytes(2, 3), WrongBytes(9, 5))
    spoiled = bytes(byte ^ 0xFF for byte in CONTENT)
    assert read(backend, 100, 10) == CONTENT[100:102] + spoiled[102:105] + CONTENT[105:110]
    assert read(backend, 100, 10) == CONTENT[100:109] + spoiled[109:110]


def test_seeded() -> None:
    """Faults come as often as their chances say, the same ones for the same seed."""
    chances: dict[Fault, float] = {Reset(): 0.1, Refuse(): 0.25}
    draws = [seeded(3, chances)(number) for number in range(4000)]
    assert draws == [seeded(3, chances)(number) for number in range(4000)]
    assert draws != [seeded(4, chances)(number) for number in range(4000)]
    assert 320 < draws.count(Reset()) < 480
    assert 900 < draws.count(Refuse()) < 1100


@pytest.mark.parametrize("chances", [{Reset(): -0.1}, {Reset(): 0.6, Refuse(): 0.6}])
def test_no_chances(chances: dict[Fault, float]) -> None:
    """Chances that are none are refused."""
    with pytest.raises(ConfigError):
        seeded(0, chances)


@pytest.mark.parametrize("status", [200, 399, 600])
def test_no_refusal(status: int) -> None:
    """A status that refuses nothing is refused."""
    with pytest.raises(ConfigError):
        Refuse(status)


def test_recording(tmp_path: Path) -> None:
    """Every request is a row, in order, until it is forgotten."""
    backend = faulty(tmp_path)
    assert backend.table().num_rows == 0
    read(backend, 0, 10)
    read(backend, 5, 20)
    table = backend.table().to_pydict()
    assert table["blob_id"] == ["blob", "blob"]
    assert (table["offset"], table["length"], table["error"]) == ([0, 5], [10, 20], ["", ""])
    assert table["t_ns"] == sorted(table["t_ns"])
    backend.clear()
    assert backend.requests == []


@pytest.mark.parametrize(
    ("size", "place"),
    [(1, 0), (1023, 0), (1024, 1), (4095, 1), (4096, 2), (16_384, 3), (65_536, 4), (131_072, 5), (262_144, 5),
     (524_288, 6), (1 << 20, 7), (3 << 20, 7)],
)  # fmt: skip
def test_metered_sizes(size: int, place: int, tmp_path: Path) -> None:
    """A request counts in the class of its size (upstream: `request_size_index`)."""
    (tmp_path / "blob").write_bytes(bytes(size))
    backend = MeteredBackend(LocalFs(tmp_path))
    read(backend, 0, size)
    metrics = backend.metrics()
    assert metrics["read_count_block_size_dist"].index(1) == place
    assert (metrics["read_count"], metrics["read_amount_total"], metrics["read_errors"]) == (1, size, 0)


def test_metered_errors_and_latencies(tmp_path: Path) -> None:
    """A request that fails counts as an error of no bytes; a slow one in the class of its milliseconds."""
    backend = MeteredBackend(faulty(tmp_path, Refuse(500), Delay(0.06)))
    with pytest.raises(BackendError):
        read(backend, 0, 10)
    read(backend, 0, 10)
    metrics = backend.metrics()
    assert (metrics["read_count"], metrics["read_errors"], metrics["read_amount_total"]) == (2, 1, 10)
    assert metrics["read_cumulative_latency_millis_total"] >= 60
    assert sum(metrics["read_latency_sizes_dist"][0][3:]) == 1
