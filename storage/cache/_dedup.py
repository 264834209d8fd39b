"""Chunks that another blob's cache file already has are copied from there, not fetched.

A copy is claimed like a fetch, made by the kernel where it can (sharing blocks where the file system
can), verified in its new place, and only then marked. What cannot be copied is fetched.

Source: nydus ``storage/src/cache/dedup/mod.rs``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.cache._index import ChunkIndex, Held
from storage.cache.stores import PlainFile
from storage.codec import Digester, buffer
from storage.errors import CacheError, StorageError
from storage.plan import ABSENT

if TYPE_CHECKING:
    from storage.cache._filecache import FileCache
    from storage.image.decode import Decoder

__all__ = ["Deduplicator", "copy_range"]

_log = logging.getLogger("storage.cache")
# What is stored within so many seconds is entered in one transaction; who is killed has not entered it.
_DELAY_S = 0.2
_NAMES = {Digester.BLAKE3: "Blake3", Digester.SHA256: "Sha256"}
_NOT_BY_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.ETXTBSY)


class Deduplicator:
    """Looks chunks of one cache up in an index, and enters those that it stores."""

    def __init__(self, cache: FileCache, decoder: Decoder, index: ChunkIndex) -> None:
        self._cache, self._decoder, self._index = cache, decoder, index
        self._paths = [os.path.realpath(file.path) if type(file) is PlainFile else "" for file in cache.files]
        self._works = True
        self._entering: dict[str, list[tuple[str, int]]] = {}
        self._since = time.monotonic()

    def adopt(self, rows: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Copy those of the chunks that are absent here and held elsewhere: when each began, and how long it took."""
        status = self._cache.decider.state.status
        names = {row: name for row in rows if status[row] == ABSENT and (name := self._name(row))}
        taken: dict[int, tuple[int, int]] = {}
        with self._or_stop():
            found = self._index.find(sorted(set(names.values()))) if names and self._works else {}
            for row, name in names.items():
                begun = time.monotonic_ns()
                if name in found and self._adopt(row, name, found[name]):
                    taken[row] = (begun, time.monotonic_ns() - begun)
        return taken

    def _adopt(self, row: int, name: str, places: Sequence[Held]) -> bool:
        cache = self._cache
        blob = cache.decider.layout.blob[row]
        here = Held(self._paths[blob], cache.decider.layout.offset[row])
        others = [place for place in places if place != here]
        if not others:
            return False
        with cache.changed:
            mine, victims = cache.decider.adopt(row)
        kept = False
        try:
            cache.fetcher.evict(victims)
            kept = mine and any(self._copy(row, name, place) for place in others) and self._mark(row)
        finally:
            with cache.changed:
                if kept:
                    cache.decider.adopted(row)
                    cache.counted.entries_count += 1
                elif mine:
                    cache.decider.store_failed(row)
                cache.changed.notify_all()
        return kept

    def _copy(self, row: int, name: str, place: Held) -> bool:
        """Copy a chunk, and see whether it is what it should be; else that entry is dropped."""
        layout, file = self._cache.decider.layout, self._cache.files[self._cache.decider.layout.blob[row]]
        try:
            with Path(place.path).open("rb", buffering=0) as source:
                copy_range(source.fileno(), place.offset, file.fd, layout.offset[row], layout.size[row])
            file.check(row)
            return True
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
                return False
        except StorageError:
            pass
        self._index.drop(name, place.path)
        return False

    def _mark(self, row: int) -> bool:
        cache, blob = self._cache, self._cache.decider.layout.blob[row]
        try:
            with cache.changed:
                cache.files[blob].map.set_ready([row - cache.first_chunk[blob]])
        except CacheError:
            return False
        self.enter([row])
        return True

    def enter(self, rows: Sequence[int]) -> None:
        """Chunks of one blob are here now; the index is told a little later, of many at once."""
        path, offset = self._paths[self._cache.decider.layout.blob[rows[0]]], self._cache.decider.layout.offset
        if not path:
            return
        with self._cache.changed:
            self._entering.setdefault(path, []).extend((self._name(row), offset[row]) for row in rows)
        if time.monotonic() - self._since > _DELAY_S:
            self.flush()

    def flush(self) -> None:
        """Tell the index of all that is here."""
        with self._cache.changed:
            entering, self._entering, self._since = self._entering, {}, time.monotonic()
        with self._or_stop():
            for path, named in entering.items():
                if self._works:
                    self._index.add(path, [(name, offset) for name, offset in named if name])

    def _name(self, row: int) -> str:
        """What the index calls a chunk; empty for one that it cannot know."""
        blob, chunks = self._cache.decider.layout.blob[row], self._decoder.chunks
        if not self._paths[blob] or not chunks.has_digest[row]:
            return ""
        return f"{_NAMES[self._decoder.infos[blob].digester]}:{chunks.digest[row].tobytes().hex()}"

    @contextlib.contextmanager
    def _or_stop(self) -> Iterator[None]:
        """Do without the index from now on if it cannot be used."""
        try:
            yield
        except CacheError as error:
            self._works = False
            _log.warning("%s; chunks are not looked up any more", error)

    def close(self) -> None:
        """Tell the index the rest, and close it."""
        self.flush()
        self._index.close()


def copy_range(source: int, at: int, target: int, to: int, length: int) -> None:
    """Copy bytes from file to file, in the kernel where that is possible.

    Raises
    ------
    OSError
        If they cannot be read or written; `EIO` if the source ends early.
    """
    while length > 0:
        try:
            done = os.copy_file_range(source, target, length, at, to)
        except (OSError, AttributeError) as error:
            if isinstance(error, OSError) and error.errno not in _NOT_BY_KERNEL:
                raise
            return _copy_through(source, at, target, to, length)
        if done == 0:
            raise OSError(errno.EIO, "the source ends early")
        at, to, length = at + done, to + done, length - done


def _copy_through(source: int, at: int, target: int, to: int, length: int) -> None:
    piece = buffer("copied", length)
    if os.preadv(source, [piece], at) != length:
        raise OSError(errno.EIO, "the source ends early")
    done = 0
    while done < length:
        done += os.pwrite(target, piece[done:], to + done)
