"""Counting what is done to files."""

from __future__ import annotations

import threading

import pytest

from storage.metrics import Fop, FsIoStats, latency_class, millis_class, size_class


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        *((0, 0), (1023, 0), (1024, 1), (4095, 1), (4096, 2), (16 << 10, 3), (64 << 10, 4), (128 << 10, 5)),
        *(((512 << 10) - 1, 5), (512 << 10, 6), ((1 << 20) - 1, 6), (1 << 20, 7), (1 << 40, 7)),
    ],
)
def test_size_classes(size: int, expected: int) -> None:
    """Classes begin at 0, 1, 4, 16, 64, 128, 512 KiB and 1 MiB."""
    assert size_class(size) == expected


def test_latency_classes() -> None:
    """A class ends with its limit."""
    assert [latency_class(micros) for micros in (0, 200, 201, 1000, 1001, 2_000_000, 2_000_001)] == [
        0,
        0,
        1,
        1,
        2,
        6,
        7,
    ]
    assert [millis_class(millis) for millis in (0, 1, 2, 20, 21, 2000, 2001)] == [0, 0, 1, 1, 2, 6, 7]


def test_switched_off() -> None:
    """Without switches there are totals only."""
    stats = FsIoStats("/mnt")
    stats.count(Fop.READ, 7, 5000, 300)
    stats.count(Fop.READ, 7, 0, 100, failed=True)
    stats.count(Fop.LOOKUP, 8)
    said = stats.metrics()
    assert (said["id"], said["data_read"], said["block_count_read"]) == ("/mnt", 5000, [1, 0, 1, 0, 0, 0, 0, 0])
    assert (said["fop_hits"][Fop.READ], said["fop_errors"][Fop.READ], said["fop_hits"][Fop.LOOKUP]) == (1, 1, 1)
    assert (said["fop_cumulative_latency_total"][Fop.READ], said["read_latency_dist"][:2]) == (400, [1, 1])
    assert (stats.files(), stats.access_pattern(), stats.latest_read_files()) == ({}, [], [])
    assert stats.files_table().num_rows == stats.access_table().num_rows == 0


def test_file_by_file() -> None:
    """Each file's reads, look-ups and failures are its own; the tables say the same."""
    stats = FsIoStats(files=True, pattern=True, latest=True)
    for ino in (5, 3, 4, 9, 5):
        stats.count(Fop.READ, ino, 1000 * ino)
    stats.count(Fop.GETATTR, 3)
    stats.count(Fop.READ, 11, failed=True)
    files = stats.files()
    assert {ino: (file["total_fops"], file["data_read"]) for ino, file in files.items()} == {
        "5": (2, 10_000),
        "3": (2, 3000),
        "4": (1, 4000),
        "9": (1, 9000),
        "11": (1, 0),
    }
    assert files["5"]["block_count_read"] == [0, 0, 2, 0, 0, 0, 0, 0]
    assert (files["11"]["fop_hits"][Fop.READ], files["11"]["fop_errors"][Fop.READ]) == (0, 1)
    table = stats.files_table().to_pylist()
    assert [{**row, "ino": None} for row in table] == [{"ino": None, **file} for file in files.values()]
    assert [row["ino"] for row in table] == [5, 3, 4, 9, 11]
    pattern, rows = stats.access_pattern(), stats.access_table().to_pylist()
    assert [(each["ino"], each["nr_read"]) for each in pattern] == [(5, 2), (3, 1), (4, 1), (9, 1), (11, 1)]
    assert [(row["ino"], row["nr_read"], row["first_access"].value) for row in rows] == [
        (each["ino"], each["nr_read"], each["first_access_time_secs"] * 10**9 + each["first_access_time_nanos"])
        for each in pattern
    ]
    assert stats.latest_read_files() == [[3, 5], [9]]
    assert stats.latest_read_files() == []


def test_many_files_and_threads() -> None:
    """Four threads that count 1,000 files lose nothing."""
    stats = FsIoStats(files=True)

    def work() -> None:
        for ino in range(1000):
            stats.count(Fop.READ, ino, 10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {file["data_read"] for file in stats.files().values()} == {40}
    assert (len(stats.files()), stats.metrics()["data_read"]) == (1000, 40_000)
