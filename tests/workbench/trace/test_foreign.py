"""Traces of other tools: examples as those write them, round trips, and broken ones."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import TraceError
from storage.image import open_image
from tests.workbench.replay._cases import layout_of
from workbench.trace import READS, foreign


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    """Time, think time, thread, path, offset, length."""
    assert table.schema.equals(READS)
    names = ("t_ns", "think_ns", "thread", "path", "offset", "length")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_fio_version_2(tmp_path: Path) -> None:
    """Waits are microseconds; writes and opens are passed over."""
    (tmp_path / "log").write_text(
        "fio version 2 iolog\n/a add\n/a open\n/a read 0 4096\n/a wait 500 0\n/a write 0 1\n/a read 8192 512\n"
    )
    assert rows_of(foreign.read_fio(tmp_path / "log")) == [
        (0, 0, 0, "/a", 0, 4096),
        (500_000, 500_000, 0, "/a", 8192, 512),
    ]


def test_fio_round_trip(tmp_path: Path) -> None:
    """What is written as version 3 is read again, to the millisecond."""
    (tmp_path / "log").write_text("fio version 3 iolog\n0 /a add\n0 /a open\n3 /a read 0 512\n10 /a read 512 100\n")
    first = foreign.read_fio(tmp_path / "log")
    foreign.write_fio(first, tmp_path / "again")
    assert foreign.read_fio(tmp_path / "again").equals(first)


def test_blktrace(tmp_path: Path) -> None:
    """Queued reads, in sectors of 512 bytes, each pid a thread; other actions and writes are passed over."""
    (tmp_path / "log").write_text(
        "  8,0    3        1     0.000000000   697  Q   R 223490 + 8 [cat]\n"
        "  8,0    3        2     0.000001829   697  D   R 223490 + 8 [cat]\n"
        "  8,0    1        3     0.500000000   698  Q  RA 0 + 256 [cp]\n"
        "  8,0    3        4     0.600000000   697  Q  WS 1 + 8 [cat]\n"
    )
    found = rows_of(foreign.read_blktrace(tmp_path / "log", "/disk"))
    assert found == [(0, 0, 0, "/disk", 223490 * 512, 4096), (500_000_000, 500_000_000, 1, "/disk", 0, 131072)]


def test_strace(tmp_path: Path) -> None:
    """Reads follow the file's position; pread64 does not move it; failures and other files are passed over."""
    (tmp_path / "log").write_text(
        '7 1700000000.000100 openat(AT_FDCWD, "/r/x", O_RDONLY) = 3</r/x> <0.000005>\n'
        '7 1700000000.000200 read(3</r/x>, "\\177ELF"..., 832) = 832 <0.000010>\n'
        '7 1700000000.000300 pread64(3</r/x>, "..."..., 784, 64) = 784 <0.000010>\n'
        '7 1700000000.000400 read(3</r/x>, "..."..., 100) = 100 <0.000010>\n'
        "7 1700000000.000500 lseek(3</r/x>, 5, SEEK_SET) = 5 <0.000001>\n"
        '7 1700000000.000600 read(3</r/x>, "..."..., 100) = 100 <0.000010>\n'
        "7 1700000000.000700 read(3</r/x>, 0x1, 100) = -1 EIO (Input/output error) <0.000010>\n"
        '8 1700000000.000800 read(3</etc/passwd>, "..."..., 100) = 100 <0.000010>\n'
    )
    rows = rows_of(foreign.read_strace(tmp_path / "log", root="/r"))
    assert [row[3:] for row in rows] == [("/x", 0, 832), ("/x", 64, 784), ("/x", 832, 100), ("/x", 5, 100)]
    assert [row[0] for row in rows] == [0, 100_000, 200_000, 400_000]
    assert rows[1][1] == 90_000


def test_lists(tmp_path: Path) -> None:
    """Lists of files come back in order, each once."""
    foreign.write_fanotify([("/b", 10, 5), ("/a, c", 1, 7)], tmp_path / "csv")
    assert foreign.read_fanotify(tmp_path / "csv") == ["/b", "/a, c"]
    foreign.write_stargz(["/b", "/a"], tmp_path / "json")
    with (tmp_path / "json").open("a") as file:
        file.write('{"path":"b","manifestDigest":"sha256:0","layerIndex":1}\n')
    assert foreign.read_stargz(tmp_path / "json") == ["/b", "/a"]


def test_soci(tmp_path: Path) -> None:
    """Chunks are written as their spans and come back as all chunks of those, the most urgent first."""
    layout = layout_of(np.random.default_rng(1), 40)
    span = 200_000
    foreign.write_soci([30, 2], tmp_path / "soci", layout, span)
    rows = foreign.read_soci(tmp_path / "soci", layout, span)
    number = layout.offset // span
    expected = [*np.flatnonzero(number == number[30]), *np.flatnonzero(number == number[2])]
    assert rows == expected


def test_access_pattern(image_dir: Path, tmp_path: Path) -> None:
    """Inodes come back as paths in the order of their first read; one that is not there is refused."""
    image = open_image(image_dir)
    names, rows = image.paths()
    picks = [3, 1, 2]
    pattern = [
        {"ino": int(image.inodes.nid[rows[i]]), "nr_read": 1, "first_access_time_secs": t, "first_access_time_nanos": 0}
        for t, i in enumerate(picks)
    ]
    (tmp_path / "json").write_text(json.dumps(pattern[::-1]))
    assert foreign.read_access_pattern(tmp_path / "json", image) == [names[i].decode() for i in picks]
    (tmp_path / "json").write_text(json.dumps([{**pattern[0], "ino": 1 << 40}]))
    with pytest.raises(TraceError, match="not in this image"):
        foreign.read_access_pattern(tmp_path / "json", image)


@pytest.mark.parametrize(
    "read",
    [
        foreign.read_fio,
        foreign.read_stargz,
        foreign.read_fanotify,
        foreign.read_strace,
        lambda path: foreign.read_blktrace(path, "/disk"),
        lambda path: foreign.read_soci(path, layout_of(np.random.default_rng(1), 4)),
    ],
)
@pytest.mark.parametrize("content", ["", "nonsense\n", "[1]\n", '{"path": 3}\n', None])
def test_broken(tmp_path: Path, read: Callable[[Path], object], content: str | None) -> None:
    """What is no such file is refused as a trace, or, as a list, is empty."""
    if content is not None:
        (tmp_path / "file").write_text(content)
    with contextlib.suppress(TraceError):
        assert read(tmp_path / "file") == []


def test_made_up() -> None:
    """Zipf has its favourite, a loop and a scan come round, and a mix uses each request once."""
    picks = foreign.zipf(100_000, 1000, 1.0, seed=1)
    share = np.bincount(picks).max() / len(picks)
    assert abs(share - 1 / np.sum(1 / np.arange(1, 1001))) < 0.01
    assert foreign.loop(5, 10, 2).tolist() == [0, 1, 0, 1, 0]
    assert foreign.scan(4, 3, 1).tolist() == [1, 2, 0, 1]
    mix = foreign.mixed([foreign.scan(250, 1000), foreign.scan(250, 1000) + 1000], run=10, seed=2)
    assert sorted(mix) == [*range(250), *range(1000, 1250)]
    assert (np.diff(mix[mix < 1000]) > 0).all()
