"""Random trees: hypothesis strategies for what a directory may hold, and options to build it with."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

__all__ = ["Entry", "build_options", "entries", "write_tree"]

MAX_DEPTH = 4


class Entry(NamedTuple):
    """One thing to be put somewhere in a tree.

    Attributes
    ----------
    kind
        ``dir``, ``reg``, ``sparse``, ``symlink``, ``hardlink``, ``fifo`` or ``sock``.
    parent, other
        Which of the directories made so far it goes to, and which of the files made so far it
        is another name of; both are taken modulo how many there are.
    name
        1 to 255 bytes.
    size, seed, noisy
        Content of files: random bytes, or a few repeated.
    target
        Of symbolic links.
    mode, mtime_ns
        Permission bits and time; left as they are made for symbolic links.
    xattrs
        In the namespace ``user.``, set where the file system takes them.
    """

    kind: str
    parent: int
    other: int
    name: bytes
    size: int
    seed: int
    noisy: bool
    target: bytes
    mode: int
    mtime_ns: int
    xattrs: dict[str, bytes]


def _names() -> st.SearchStrategy[bytes]:
    letters = st.binary(min_size=1, max_size=20).map(lambda raw: bytes(b if b not in b"/\0" else 95 for b in raw))
    long = st.integers(200, 255).map(lambda length: b"n" * length)
    words = st.sampled_from([b"a", b"b.py", "größe".encode(), b"with space", b"...", b"-rf", b"new\nline"])
    return st.one_of(words, letters, long).filter(lambda name: name not in (b".", b".."))


def _targets() -> st.SearchStrategy[bytes]:
    some = st.binary(min_size=1, max_size=100).map(lambda raw: raw.replace(b"\0", b"/"))
    return st.one_of(some, st.integers(1, 4000).map(lambda length: b"t" * length))


def _sizes() -> st.SearchStrategy[int]:
    near = st.sampled_from([4096, 8192, 1 << 16, 1 << 18])
    around = st.builds(lambda size, off: size + off, near, st.integers(-1, 1))
    return st.one_of(st.integers(0, 5000), around, st.integers(0, 300_000))


def _xattrs() -> st.SearchStrategy[dict[str, bytes]]:
    names = st.text("abcdefghij.-_é", min_size=1, max_size=30).map(lambda name: f"user.{name}")
    return st.dictionaries(names, st.binary(max_size=200), max_size=3)


def entries(max_size: int = 25) -> st.SearchStrategy[list[Entry]]:
    """What to put into a tree, in order."""
    kinds = ["dir", "dir", "reg", "reg", "reg", "reg", "sparse", "symlink", "hardlink", "fifo", "sock"]
    entry = st.builds(
        Entry,
        kind=st.sampled_from(kinds),
        parent=st.integers(0, 1000),
        other=st.integers(0, 1000),
        name=_names(),
        size=_sizes(),
        seed=st.integers(0, 5),  # few, so that chunks repeat
        noisy=st.booleans(),
        target=_targets(),
        mode=st.integers(0, 0o7777),
        mtime_ns=st.integers(0, 1 << 61),
        xattrs=_xattrs(),
    )
    return st.one_of(st.lists(entry, max_size=6), st.lists(entry, min_size=max_size // 2, max_size=max_size))


def build_options() -> st.SearchStrategy[dict[str, object]]:
    """Keyword arguments of `storage.image.build.build`."""
    common = {
        "compressor": st.sampled_from(["none", "lz4_block", "gzip", "zstd"]),
        "digester": st.sampled_from(["blake3", "sha256"]),
        "chunk_size": st.sampled_from([4096, 16 << 10, 64 << 10, 1 << 20]),
    }
    of_v5 = {"version": st.just(5), "inline": st.booleans(), "aligned_chunk": st.booleans()}
    return st.one_of(st.fixed_dictionaries(common), st.fixed_dictionaries(common | of_v5))


def write_tree(root: Path, wanted: list[Entry]) -> None:
    """Make the entries below `root`, an empty directory; names that are taken already are passed over."""
    folders, files = [os.fsencode(root)], list[bytes]()
    made: list[tuple[bytes, Entry]] = []
    for entry in wanted:
        place = os.path.join(folders[entry.parent % len(folders)], entry.name)
        if os.path.lexists(place) or (entry.kind == "hardlink" and not files):
            continue
        if entry.kind == "hardlink":
            os.link(files[entry.other % len(files)], place)
            continue
        with contextlib.suppress(OSError):  # too long a path, or a socket's
            _MAKERS[entry.kind](place, entry)
        if not os.path.lexists(place):
            continue
        made.append((place, entry))
        if entry.kind == "dir" and place.count(b"/") - folders[0].count(b"/") < MAX_DEPTH:
            folders.append(place)
        elif entry.kind in ("reg", "sparse"):
            files.append(place)
    for place, entry in reversed(made):
        _finish(place, entry)


def _regular(place: bytes, entry: Entry) -> None:
    with open(place, "wb") as file:  # noqa: PTH123
        file.write(_content(entry))


def _sparse(place: bytes, entry: Entry) -> None:
    with open(place, "wb") as file:  # noqa: PTH123
        file.truncate(entry.size)
        file.seek(entry.size // 2)
        file.write(_content(entry)[: entry.size // 4])


def _content(entry: Entry) -> bytes:
    if entry.noisy:
        return np.random.default_rng(entry.seed).bytes(entry.size)
    return (bytes([entry.seed]) * 7 + b"lazy loading\n") * (entry.size // 20) + b"." * (entry.size % 20)


_MAKERS: dict[str, Callable[[bytes, Entry], None]] = {
    "dir": lambda place, entry: os.mkdir(place),  # noqa: PTH102
    "reg": _regular,
    "sparse": _sparse,
    "symlink": lambda place, entry: os.symlink(entry.target, place),  # noqa: PTH211
    "fifo": lambda place, entry: os.mkfifo(place),
    "sock": lambda place, entry: os.mknod(place, stat.S_IFSOCK | 0o600),
}


def _finish(place: bytes, entry: Entry) -> None:
    """Attributes, after everything is there: owners can still read and list what they made."""
    if entry.kind == "symlink":
        return
    if entry.kind in ("dir", "reg", "sparse"):
        for name, value in entry.xattrs.items():
            with contextlib.suppress(OSError, AttributeError):
                os.setxattr(place, name, value)
    os.chmod(place, entry.mode | (0o700 if entry.kind == "dir" else 0o600))  # noqa: PTH101
    with contextlib.suppress(OSError, OverflowError):
        os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))
