"""Reading a tree while it is built: bounded memory, and in the order of the tree."""

from __future__ import annotations

import mmap
import os
import random
import signal
import stat
from contextlib import nullcontext
from io import BytesIO
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from storage.errors import FormatError, StorageError
from storage.image.build import Node, _crew, build, directory_tree
from storage.image.build._crew import CREW, may_fork
from storage.image.build._sink import Sink
from storage.image.build._work import Worker

MIB = 1 << 20


def folder_of(contents: list[bytes]) -> Node:
    """A directory with files of these contents."""
    root = Node(b"", "/", stat.S_IFDIR | 0o755)
    for number, content in enumerate(contents):
        file = Node(b"%06d" % number, f"/{number:06}", stat.S_IFREG | 0o644, size=len(content))
        file.open = lambda content=content: nullcontext(BytesIO(content))  # type: ignore[misc]
        root.children.append(file)
    return root


class _Streamed:
    """A tree that is read in its own order, each file before the next one is asked for."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.asked = 0

    def nodes(self):  # type: ignore[no-untyped-def]
        for node in self.root.children:
            content = node.open().__enter__()  # type: ignore[misc]
            node.open = lambda content=content, number=self.asked: self._still(content, number)  # type: ignore[misc]
            yield node
            self.asked += 1

    def _still(self, content: BytesIO, number: int) -> nullcontext[BytesIO]:
        assert number == self.asked, "read after the next one was asked for"
        return nullcontext(content)


@pytest.mark.parametrize("compressor", ["none", "lz4_block", "zstd"])
@pytest.mark.parametrize("batch_size", [0, 64 << 10])
def test_in_turn(compressor: str, batch_size: int, tmp_path: Path) -> None:
    """Each file is read before the next one is asked for, and a tree that is streamed gives the same image."""
    rng = random.Random(3)
    sizes = [rng.choice([1, 900, 12_000, 65_535, 65_536, 200_000, 3 * MIB + 5]) for _ in range(120)]
    contents = [rng.choice([bytes(size), rng.randbytes(size)]) for size in sizes]
    ours = build(folder_of(contents), tmp_path / "any", compressor=compressor, batch_size=batch_size)
    streamed = _Streamed(folder_of(contents))
    theirs = build(streamed, tmp_path / "turn", compressor=compressor, batch_size=batch_size)
    assert streamed.asked == len(contents)
    assert ours.blob and theirs.blob and ours.blob.read_bytes() == theirs.blob.read_bytes()
    assert ours.bootstrap.read_bytes() == theirs.bootstrap.read_bytes()


def test_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the tree, its content goes through the same few blocks, of 2 MiB twice."""
    made, real = [], mmap.mmap

    def counted(*given: int) -> mmap.mmap:
        made.append(given[1])
        return real(*given)

    monkeypatch.setattr(mmap, "mmap", counted)
    content = random.Random(1).randbytes(MIB - 8)
    root = folder_of([number.to_bytes(8, "little") + content for number in range(100)])
    built = build(root, tmp_path, compressor="none")
    assert built.plain_bytes == 100 * MIB
    assert len(made) == 1 and made[0] < (2 * CREW + 16) * 5 * MIB


def test_blocks_are_given_back(tmp_path: Path) -> None:
    """A block is used again though little of it is new, however often that is so."""
    rng = random.Random(5)
    old = rng.randbytes(MIB)
    root = folder_of([part for number in range(60) for part in (old, rng.randbytes(1 + number))])
    built = build(root, tmp_path, compressor="none", batch_size=4096)
    assert built.duplicates == 59


def on_disk(folder: Path) -> Path:
    """A tree that is worth processes: large and small files, some of them twice, one with two names."""
    folder.mkdir()
    rng = random.Random(4)
    for number in range(30):
        (folder / f"large-{number}").write_bytes(rng.choice([rng.randbytes, bytes])(MIB + number))
    for number in range(900):
        (folder / f"small-{number}").write_bytes(b"%d" % (number % 700) * rng.choice([1, 900]))
    os.link(folder / "large-3", folder / "z")
    return folder


@pytest.mark.parametrize(
    "options", [{"compressor": "lz4_block"}, {"batch_size": 65536}, {"encrypt": (bytes(range(32)), b"i" * 16)}]
)
def test_processes_and_threads(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether processes read and compress or threads, the image is the same, and no process is left."""
    monkeypatch.setattr(_crew.threading, "active_count", lambda: 1)  # other tests leave threads
    tree = on_disk(tmp_path / "tree")
    assert may_fork()
    before = active_children()
    ours = build(tree, tmp_path / "processes", **options)
    assert active_children() == before
    monkeypatch.setattr(_crew.threading, "active_count", lambda: 2)
    assert not may_fork()
    theirs = build(tree, tmp_path / "threads", **options)
    assert ours.blob and theirs.blob and ours.blob.read_bytes() == theirs.blob.read_bytes()
    assert ours.bootstrap.read_bytes() == theirs.bootstrap.read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_that_fails_late(threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is gone when it is to be read is named, whoever reads it, and nothing is left."""
    monkeypatch.setattr(_crew.threading, "active_count", lambda: threads)
    tree = on_disk(tmp_path / "tree")
    found = directory_tree(tree)
    (tree / "small-7").unlink()
    with pytest.raises(FormatError, match="No such file") as failed:
        build(found, tmp_path / "image")
    assert failed.value.where["path"] == str(tree / "small-7")
    assert os.listdir(tmp_path / "image" / "blobs") == []


def test_a_process_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is an error of ours, and nothing is left."""
    monkeypatch.setattr(_crew.threading, "active_count", lambda: 1)
    monkeypatch.setattr(Worker, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(StorageError, match="has ended"):
        build(on_disk(tmp_path / "tree"), tmp_path / "image")
    assert os.listdir(tmp_path / "image" / "blobs") == []


def test_a_short_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names the file, and nothing is left."""
    root = folder_of([b"a" * 100, b"b" * 100])
    root.children[1].size = 200
    with pytest.raises(FormatError, match="became shorter") as failed:
        build(root, tmp_path)
    assert failed.value.where["path"] == "/000001"
    assert os.listdir(tmp_path / "blobs") == []


def test_short_writes(tmp_path: Path) -> None:
    """What a file takes only in part is written whole, and hashed once."""

    class Stingy(BytesIO):
        def write(self, data) -> int:  # type: ignore[no-untyped-def]
            return super().write(memoryview(data)[:1000])

    file, data = Stingy(), random.Random(2).randbytes(3 * MIB)
    with Sink(file) as sink:
        for start in range(0, len(data), 50_000):
            sink.write(data[start : start + 50_000])
        digest = sink.hexdigest()
    plain = BytesIO()
    with Sink(plain) as sink:
        sink.write(data)
        assert sink.hexdigest() == digest
    assert file.getvalue() == plain.getvalue() == data
