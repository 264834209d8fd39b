"""Chunks that another blob's cache file already has are copied from there, not fetched.

A copy is claimed like a fetch, made by the kernel where it can (sharing blocks where the file system
can), verified in its new place, and only then marked. What cannot be copied is fetched.

Source: nydus ``storage/src/cache/dedup/mod.rs``.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.cache._entries import Entries, Entry
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
# What the index says is taken to be so for so many seconds.
_GOOD_FOR_S = 1.0
# To look one chunk up is as dear as so many more in the same query. So those that follow are looked up, too, as many as
# what was so saved before pays for, which are many where reads are in order, or come all over what was looked up.
_SAVED = 8
_AHEAD = 256
_NAMES = {Digester.BLAKE3: "Blake3", Digester.SHA256: "Sha256"}
_NOT_BY_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.ETXTBSY)


class Deduplicator:
    """Looks chunks of one cache up in an index, and enters those that it stores."""

    def __init__(self, cache: FileCache, decoder: Decoder, index: ChunkIndex) -> None:
        self._cache, self._decoder, self._index = cache, decoder, index
        self._status, self._blob = cache.decider.state.status, cache.decider.layout.blob
        self._paths = [os.path.realpath(file.path) if type(file) is PlainFile else "" for file in cache.files]
        digesters = (_NAMES[info.digester] for info in decoder.infos)
        self._prefixes = [path and f"{digester}:" for path, digester in zip(self._paths, digesters, strict=True)]
        self._works = True
        self._answers: dict[int, Sequence[Held]] = {}
        self._asked, self._saved = time.monotonic(), _AHEAD
        self.entries = Entries(index, self._status, self._named, self._do_without)

    def adopt(self, rows: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Copy those of the chunks that are absent here and held elsewhere: when each began, and how long it took."""
        taken: dict[int, tuple[int, int]] = {}
        absent = [row for row in rows if self._status[row] == ABSENT]
        if not (absent and self._works):
            return taken
        try:
            for row, places in self._look_up(absent):
                begun = time.monotonic_ns()
                if self._adopt(row, places):
                    taken[row] = (begun, time.monotonic_ns() - begun)
        except CacheError as error:
            self._do_without(error)
        return taken

    def _look_up(self, rows: Sequence[int]) -> list[tuple[int, Sequence[Held]]]:
        """Where those of the chunks that are anywhere are, as far as anybody said lately."""
        if (now := time.monotonic()) - self._asked > _GOOD_FOR_S:
            self._asked, self._answers = now, {}
        answers = self._answers
        new = [row for row in rows if row not in answers]
        self._saved = min(self._saved + _SAVED * (len(rows) - len(new)), _AHEAD)
        if new:
            following = range(new[-1] + 1, min(new[-1] + 1 + self._saved, len(self._status)))
            ahead = [row for row in following if self._status[row] == ABSENT and row not in answers]
            self._saved -= len(ahead)
            new += ahead
            names = self._names(new)
            found = self._index.find([name for name in names if name])
            answers.update((row, found.get(name, ())) for row, name in zip(new, names, strict=True))
        return [(row, answers[row]) for row in rows if answers[row]]

    def _adopt(self, row: int, places: Sequence[Held]) -> bool:
        cache, [(name, here)] = self._cache, self._named([row])
        if not (others := [place for place in places if place != here]):
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
        if kept:
            self.entries.add([row])
        return kept

    def _copy(self, row: int, name: str, place: Held) -> bool:
        """Copy a chunk, and see whether it is what it should be; else its entry is dropped, or all of a lost file."""
        layout, file = self._cache.decider.layout, self._cache.files[self._cache.decider.layout.blob[row]]
        try:
            with Path(place.path).open("rb", buffering=0) as source:
                copy_range(source.fileno(), place.offset, file.fd, layout.offset[row], layout.size[row])
            file.check(row)
            return True
        except FileNotFoundError:
            self._index.collect()
            self._answers = {}
            return False
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
                return False
        except StorageError:
            pass
        self._index.drop([(name, place)])
        return False

    def _mark(self, row: int) -> bool:
        cache, blob = self._cache, self._cache.decider.layout.blob[row]
        try:
            with cache.changed:
                cache.files[blob].map.set_ready([row - cache.first_chunk[blob]])
        except CacheError:
            return False
        return True

    def _names(self, rows: Sequence[int]) -> list[str]:
        """What the index calls chunks; empty for one that it cannot know."""
        digest, known = self._decoder.chunks.digest, self._decoder.chunks.has_digest
        prefixes = [self._prefixes[self._blob[row]] for row in rows]
        each = zip(rows, prefixes, strict=True)
        return [prefix + digest[row].tobytes().hex() if prefix and known[row] else "" for row, prefix in each]

    def _named(self, rows: Sequence[int]) -> list[Entry]:
        """What is entered of chunks, of those that the index can know."""
        offset, each = self._cache.decider.layout.offset, zip(rows, self._names(rows), strict=True)
        return [(name, Held(self._paths[self._blob[row]], offset[row])) for row, name in each if name]

    def _do_without(self, error: CacheError) -> None:
        """The index cannot be used: it is not asked any more."""
        if self._works:
            _log.warning("%s; chunks are not looked up any more", error)
        self._works = False

    def close(self) -> None:
        """Tell the index the rest, and close it."""
        self.entries.close()
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
