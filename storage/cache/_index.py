"""Which cache file of this machine has which chunk: upstream's sqlite database ``cas.db``.

It is a hint and no more: whatever it says is verified before it is used, so nothing is synced, and
an entry that turns out to be wrong is dropped. Any number of processes may use it at once.

Source: nydus ``storage/src/cache/dedup/db.rs``.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from storage.errors import CacheError

__all__ = ["ChunkIndex", "Held"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS Blobs (BlobId INTEGER PRIMARY KEY, FilePath TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS Chunks (
    ChunkId TEXT NOT NULL, ChunkOffset INTEGER, BlobId INTEGER,
    UNIQUE(ChunkId, BlobId) ON CONFLICT IGNORE, FOREIGN KEY(BlobId) REFERENCES Blobs(BlobId));
CREATE INDEX IF NOT EXISTS ChunkIndex ON Chunks(ChunkId);
"""
_FIND = """
SELECT ChunkId, FilePath, ChunkOffset FROM Chunks INDEXED BY ChunkIndex JOIN Blobs USING (BlobId)
WHERE ChunkId IN ({}) ORDER BY BlobId
"""
_ADD = "INSERT OR IGNORE INTO Chunks VALUES (?, ?, (SELECT BlobId FROM Blobs WHERE FilePath = ?))"
_DROP = """
DELETE FROM Chunks
WHERE ChunkId = ? AND BlobId = (SELECT BlobId FROM Blobs WHERE FilePath = ?) AND ChunkOffset = ?
"""
_AT_ONCE = 500
_MAPPED = 1 << 28


class Held(NamedTuple):
    """Where a chunk's bytes are said to be: a cache file, and an offset in it."""

    path: str
    offset: int


class ChunkIndex:
    """The database at `path`, made if it is not there.

    Chunks are named as upstream names them: ``Blake3:`` or ``Sha256:`` and the digest in hex.

    Raises
    ------
    CacheError
        By each method, if the database cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock, self._changing = threading.Lock(), threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None  # of its own, so that nobody who looks waits for who enters
        try:
            self._db = self._connect()
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._disconnect()
            raise self._refused(error) from error
        _opened.add(self)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"PRAGMA mmap_size = {_MAPPED}")
        return db

    def _disconnect(self) -> None:
        for db in (self._db, self._writer):
            if db is not None:
                db.close()
        self._db = self._writer = None

    def _refused(self, error: sqlite3.Error) -> CacheError:
        return CacheError(f"the index of chunks cannot be used: {error}", path=self.path)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one process after the other."""
        with self._changing:
            try:
                db = self._writer = self._writer or self._connect()
                db.execute("BEGIN IMMEDIATE")
                with db:  # commits, or takes back
                    yield db
            except sqlite3.Error as error:
                raise self._refused(error) from error

    def find(self, chunks: Sequence[str]) -> dict[str, list[Held]]:
        """Where chunks are said to be, those that are anywhere."""
        found: dict[str, list[Held]] = {}
        for start in range(0, len(chunks), _AT_ONCE):
            part = chunks[start : start + _AT_ONCE]
            for chunk, path, offset in self._ask(_FIND.format(",".join("?" * len(part))), part):
                found.setdefault(chunk, []).append(Held(path, offset))
        return found

    def _ask(self, query: str, values: Sequence[str] = ()) -> list[Any]:
        with self._lock:
            try:
                db = self._db = self._db or self._connect()
                return db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._refused(error) from error

    def add(self, chunks: Iterable[tuple[str, Held]]) -> None:
        """These chunks are there."""
        # In their order in the index, where neighbours share a page.
        entries = sorted((chunk, offset, path) for chunk, (path, offset) in chunks)
        with self._change() as db:
            paths = {path for _, _, path in entries}
            db.executemany("INSERT OR IGNORE INTO Blobs (FilePath) VALUES (?)", [(path,) for path in sorted(paths)])
            db.executemany(_ADD, entries)

    def drop(self, chunks: Iterable[tuple[str, Held]]) -> None:
        """These chunks are not, or no longer, there."""
        with self._change() as db:
            db.executemany(_DROP, [(chunk, path, offset) for chunk, (path, offset) in chunks])

    def stale(self, removed: Container[str] = ()) -> list[str]:
        """Cache files that it knows and that are no longer there, or would not be without those `removed`."""
        known = self._ask("SELECT FilePath FROM Blobs")
        return [path for (path,) in known if path in removed or not Path(path).exists()]

    def collect(self) -> list[str]:
        """Drop the cache files that are no longer there, and their chunks; returns their paths."""
        gone = self.stale()
        with self._change() as db:
            for path in gone:
                db.execute("DELETE FROM Chunks WHERE BlobId = (SELECT BlobId FROM Blobs WHERE FilePath = ?)", (path,))
                db.execute("DELETE FROM Blobs WHERE FilePath = ?", (path,))
        return gone

    def close(self) -> None:
        """Close the database."""
        _opened.discard(self)
        with self._lock, self._changing:
            self._disconnect()

    def hold(self) -> None:
        """Be closed until `let_go`, as no connection may be carried into a fork; it is opened again when it is used."""
        self._lock.acquire()
        self._changing.acquire()
        self._disconnect()

    def let_go(self) -> None:
        """The fork is over, in the parent or in the child."""
        self._changing.release()
        self._lock.release()


_opened: weakref.WeakSet[ChunkIndex] = weakref.WeakSet()
_held: list[ChunkIndex] = []


def _hold_all() -> None:
    for index in list(_opened):
        index.hold()
        _held.append(index)


def _let_all_go() -> None:
    while _held:
        _held.pop().let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_all, after_in_parent=_let_all_go, after_in_child=_let_all_go)
