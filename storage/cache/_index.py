"""Which cache file of this machine has which chunk: upstream's sqlite database ``cas.db``.

It is a hint and no more: whatever it says is verified before it is used, so nothing is synced, and
an entry that turns out to be wrong is dropped. Any number of processes may use it at once.

Source: nydus ``storage/src/cache/dedup/db.rs``.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

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
_ADD = "INSERT OR IGNORE INTO Chunks SELECT ?, ?, BlobId FROM Blobs WHERE FilePath = ?"
_DROP = "DELETE FROM Chunks WHERE ChunkId = ? AND BlobId = (SELECT BlobId FROM Blobs WHERE FilePath = ?)"
_AT_ONCE = 500


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
        self._lock = threading.Lock()
        with self._refusing():
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = OFF")
                self._db.executescript(_SCHEMA)
            except BaseException:
                self._db.close()
                raise

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CacheError(f"the index of chunks cannot be used: {error}", path=self.path) from error

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one process after the other."""
        with self._lock, self._refusing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def find(self, chunks: Sequence[str]) -> dict[str, list[Held]]:
        """Where chunks are said to be, those that are anywhere."""
        found: dict[str, list[Held]] = {}
        for start in range(0, len(chunks), _AT_ONCE):
            part = chunks[start : start + _AT_ONCE]
            with self._lock, self._refusing():
                rows = self._db.execute(_FIND.format(",".join("?" * len(part))), part).fetchall()
            for chunk, path, offset in rows:
                found.setdefault(chunk, []).append(Held(path, offset))
        return found

    def add(self, path: str, chunks: Iterable[tuple[str, int]]) -> None:
        """A cache file has these chunks, at these offsets."""
        with self._change() as db:
            db.execute("INSERT OR IGNORE INTO Blobs (FilePath) VALUES (?)", (path,))
            db.executemany(_ADD, [(chunk, offset, path) for chunk, offset in chunks])

    def drop(self, chunk: str, path: str) -> None:
        """A cache file does not have that chunk."""
        with self._change() as db:
            db.execute(_DROP, (chunk, path))

    def stale(self, removed: Container[str] = ()) -> list[str]:
        """Cache files that it knows and that are no longer there, or would not be without those `removed`."""
        with self._lock, self._refusing():
            known = self._db.execute("SELECT FilePath FROM Blobs").fetchall()
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
        with self._lock:
            self._db.close()
