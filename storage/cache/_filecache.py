"""The file cache: what of the image's blobs is here, and how the rest gets here.

Decisions are made by a `Decider` under one lock. Everything else (reading the cache file,
asking the backend, decoding, writing) is done outside of it, by the thread that reads.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.backend import BlobReader, prefetching
from storage.cache._at_once import NOTES, read_at_once
from storage.cache._cursor import Cursor, Nowhere
from storage.cache._dedup import Deduplicator
from storage.cache._execute import Executor
from storage.cache._fetch import Fetcher
from storage.cache._flights import forget_flights, land, share_flights
from storage.cache._index import ChunkIndex
from storage.cache._kind import CacheKind
from storage.cache._log import Log
from storage.cache._prefetch import Prefetcher
from storage.cache.folder import FolderLock, begin_form, check_form
from storage.cache.stores import BlobFile, Source, open_blob_file
from storage.device import BlobInfo, Buffer
from storage.errors import CacheError, ConfigError, IntegrityError
from storage.events import Recorder
from storage.image.decode import Decoder
from storage.image.tables import Blobs, Chunks
from storage.metrics import CacheMetrics
from storage.plan import (
    ABSENT,
    CAPACITY,
    EXACT,
    READY,
    STORED,
    USER,
    Ahead,
    Batches,
    Decider,
    Options,
    Policy,
    Segments,
    cut,
    keep_all,
    plan_layout,
    views,
)

__all__ = ["FileCache"]

# nydusd fetches a chunk itself when whoever claimed it takes longer.
_PATIENCE_S = 2.0

_AS_THEY_ARE = CacheKind()
_opened: weakref.WeakSet[FileCache] = weakref.WeakSet()


def _disown_all() -> None:
    forget_flights()
    for cache in list(_opened):
        cache.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


def _bounds_units(files: Sequence[BlobFile], options: Options) -> bool:
    """Whether what is evicted are units, as the space of one chunk is not to be had alone; or refuse to bound.

    Raw bytes of a batch, or of a piece of a gzip stream, are of use while any of its chunks is. So all of them come
    and go together, which is not so under plan `reference`, where a fetch may keep some of them.
    """
    units = not all(file.parts for file in files)
    for file in files:
        if not file.gives_back or (units and options.plan != EXACT):
            why = "units are kept whole under plan exact only" if file.gives_back else "it is no copy"
            raise ConfigError(f"what is cached in this form cannot be evicted: {why}", field="capacity", path=file.path)
    return units


class FileCache:
    """A cache folder over the blobs of one image, in upstream's file formats.

    Parameters
    ----------
    folder
        Made if it is not there. What an earlier run, or nydusd, left in it is found again. One that may not be
        written to is read as it is, and nothing is added.
    infos, blobs, chunks
        The image's blobs and chunk table.
    readers
        A reader of each blob, in the order of `infos`.
    options
        See `storage.plan.plan_options`.
    kind
        In what form chunks are kept.
    capacity
        Bytes of chunks that may be stored, decoded. A bounded folder is owned by one process. Of raw batches and
        gzip pieces all the chunks come and go together, under plan `exact`.
    watermarks
        How much is evicted at a time; see `storage.plan.new_state`.
    policy, arena
        What to evict; needed with a capacity. See `storage.plan.Policy`.
    recorder
        Where events go.
    prefetch_workers, prefetch_bandwidth
        Threads that prefetch, and bytes a second that they may ask for, 0 for no limit; see `storage.plan.new_budget`.
    dedup
        A database that says which chunks other cache files of this machine hold: those are copied, not fetched, and
        what is stored here is entered. Only chunks that are kept as they are (see `kind`) take part.
    journal
        Whether decisions are kept in ``cache.decider.journal``.
    window
        By chunk, how far requests reach, where that is not the same for all; see `storage.plan.windows`.

    Raises
    ------
    CacheError
        If the folder is another image's, or one of its files is foreign or broken.
    CacheUnavailableError
        If another process evicts from the folder, or there is no room for what must be in it.
    """

    def __init__(
        self,
        folder: str | Path,
        infos: Sequence[BlobInfo],
        blobs: Blobs,
        chunks: Chunks,
        readers: Sequence[BlobReader],
        options: Options,
        *,
        kind: CacheKind = _AS_THEY_ARE,
        capacity: int | None = None,
        policy: Policy = keep_all,
        arena: tuple[int, int] = (1, 1),
        recorder: Recorder | None = None,
        prefetch_workers: int = 1,
        prefetch_bandwidth: int = 0,
        watermarks: tuple[int, int] | None = None,
        dedup: str | Path | None = None,
        journal: bool = False,
        window: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._lock = FolderLock(self.folder, infos, exclusive=capacity is not None)
        self.files: list[BlobFile] = []
        self.flights = [share_flights(os.path.realpath(self.folder), info.blob_id) for info in infos]
        self.dedup: Deduplicator | None = None
        try:
            check_form(self.folder, kind.form)
            begin_form(self.folder, kind.form, self._lock.writable)
            decoder, layout = Decoder(infos, chunks), plan_layout(chunks)
            parts = zip(infos, blobs.first_chunk, blobs.chunk_count, self.flights, strict=True)
            for info, first, count, flights in parts:
                rows = range(int(first), int(first + count))
                source = Source(info, views(layout), decoder, rows, self._lock.writable, flights.digests)
                self.files.append(open_blob_file(self.folder, source, kind))
            whole = capacity is not None and _bounds_units(self.files, options)
            check_form(self.folder, kind.form)  # once more: who opens it in another form at this moment sees our files
            index = ChunkIndex(dedup) if dedup is not None and self._lock.writable else None
        except BaseException:
            self._close_files()
            raise
        self.log = Log(recorder)
        known = layout.known
        if not self._lock.writable:
            layout = layout._replace(known=np.zeros_like(layout.known))  # nothing is added, nor can anything go
            capacity = watermarks = None
        self.decider = Decider(layout, options, capacity, policy, arena, journal, watermarks, window, whole)
        self.changed = threading.Condition()
        self.first_chunk = [int(first) for first in blobs.first_chunk]
        self.chunk_counts = [int(count) for count in blobs.chunk_count]
        self._status = self.decider.state.status
        self._blob = self.decider.layout.blob
        # What is ready can be copied without a look at the decider: it stays so, and is what it should be.
        self._checked = kind.validate or not all(file.is_plain for file in self.files)
        self._evicts = self.decider.policy is not keep_all
        self._unguarded = not self._evicts and not self._checked and not prefetch_bandwidth
        self._whole = self._checked
        self._recorder = recorder
        self._fds = [file.fd for file in self.files]
        self.counted = CacheMetrics()
        self._read_at_once, self._whole_at_once = self.counted.read_at_once, self.counted.whole_at_once
        self._reads = itertools.count()
        self.read_at_once, self._stop_at_once = read_at_once(
            self.decider, self._fds, self._tell, self._reads.__next__, self.log
        )
        if self._checked or prefetch_bandwidth:
            self._stop_at_once()
        self.fetcher = Fetcher(self, decoder, readers)
        patience = None if options.plan == EXACT else _PATIENCE_S
        owned = capacity is not None
        self.executor = Executor(self, known, checked=self._checked, owned=owned, patience=patience)
        self.prefetcher = Prefetcher(self, prefetch_workers, prefetch_bandwidth)
        self._hindered = prefetch_bandwidth > 0
        if index is not None:
            self.dedup = Deduplicator(self, decoder, index)
        self._refusal = ""
        _opened.add(self)
        if not self._lock.writable:
            self.prefetcher.stop()
        self._open(owned)

    def _open(self, owned: bool) -> None:
        """Find what the folder holds: of a bounded one all of it, as what a map forgot takes its space, too."""
        files = list(zip(self.files, self.first_chunk, strict=True))
        for file, first in files:
            if owned and not file.map.keeps:
                file.map.set_ready([row - first for row in file.look_through()])
        rows = [np.flatnonzero(file.map.ready) + first for file, first in files]
        with self.changed:
            victims = self.decider.open(found := np.concatenate(rows) if rows else ())
        self.fetcher.evict(victims)
        if self.dedup is not None:
            self.dedup.entries.add_earlier(found)

    def read(
        self,
        rows: Sequence[int],
        offsets: Sequence[int],
        lengths: Sequence[int],
        buffers: Sequence[Buffer],
        read_id: int | None = None,
    ) -> int:
        """Fill `buffers` with bytes of chunks; see `BlobDevice.read_to`."""
        size = self.read_at_once(rows, offsets, lengths, buffers, read_id)
        if size >= 0:
            return size
        if self._hindered:
            self._before_read(lengths)
        if self._whole and len(rows) == 1 == len(buffers) and self._status[rows[0]] == READY:
            size = self._read_checked(rows[0], offsets[0], lengths[0], buffers[0], read_id)
            if size >= 0:
                return size
        if read_id is not None:
            return self._read(rows, offsets, lengths, buffers, read_id)
        start = time.monotonic_ns()
        read_id = self.new_read_id()
        try:
            size = self._read(rows, offsets, lengths, buffers, read_id)
        except BaseException as error:
            self.log.failed_read(start, read_id, error)
            raise
        self.log.read(start, read_id, 0, size, size)
        return size

    def answer(self, ahead: Ahead) -> None:
        """From now on, let a prefetch policy suggest chunks at each read, so that none goes past the decider."""
        self.prefetcher.answer(ahead)
        self._unguarded = self._whole = False
        self._stop_at_once()

    def _before_read(self, lengths: Sequence[int]) -> None:
        """Let prefetch pay for the read; refuse it once that is to be."""
        if self._refusal:
            raise CacheError(self._refusal, path=self.folder)
        if self.prefetcher.is_busy:
            self.prefetcher.spend(sum(lengths))

    def disown(self) -> None:
        """This is the child of a fork: locks, threads and reads under way are the parent's; only `close` works."""
        self._refuse("was opened before a fork: open it again in this process")
        self.changed = threading.Condition()
        self.prefetcher = Prefetcher(self, 0)
        self.prefetcher.stop()
        self.dedup = None

    def _refuse(self, why: str) -> None:
        self._refusal, self._hindered, self._unguarded = why, True, False
        self._stop_at_once()

    def _read_checked(self, row: int, offset: int, length: int, buffer: Buffer, read_id: int | None) -> int:
        """One ready chunk to one buffer, decoded or verified; -1 if it is not what it should be.

        That it is says also that it was not evicted meanwhile.
        """
        start = 0 if self._recorder is None else time.monotonic_ns()
        cursor, blob = Cursor([buffer], length), self._blob[row]
        try:
            plain = self.files[blob].chunk(row)
        except (CacheError, IntegrityError):
            return -1
        cursor.put(plain[offset : offset + length])
        if self._evicts:
            self.decider.noted.append(row)
            if len(self.decider.noted) >= NOTES:
                self._tell()
        self._whole_at_once()
        if self._recorder is not None:
            self._log_hit(start, read_id, blob, row, length)
        return length

    def _tell(self) -> None:
        with self.changed:
            self.decider.tell()

    def _log_hit(self, start: int, read_id: int | None, blob: int, row: int, length: int) -> None:
        if read_id is not None:
            self.log.hit(start, read_id, blob, (row,), (length,))
        elif self._recorder is not None:
            self._recorder.log_hit(start, next(self._reads), blob, row, length)

    def new_read_id(self) -> int:
        """An id for a user read that is made of several."""
        return next(self._reads)

    def _read(
        self,
        rows: Sequence[int],
        offsets: Sequence[int],
        lengths: Sequence[int],
        buffers: Sequence[Buffer],
        read_id: int,
    ) -> int:
        size = sum(lengths)
        cursor = Cursor(buffers, size)
        if self._unguarded and self.decider.options.plan == EXACT and self.is_ready(rows):
            start = time.monotonic_ns()
            ranges = self.executor.copy(rows, offsets, lengths, cursor)
            self._read_at_once()
            if ranges != 1:
                with self.changed:
                    self.counted.partial_hits += ranges - 1
            self.log.hit(start, read_id, self._blob[rows[0]] if rows else -1, rows, lengths)
        else:
            with self.changed:
                self.counted.total += 1
                self.prefetcher.hear(segments := Segments(rows, offsets, lengths))
                read = self.decider.begin(segments, USER)
            self.executor.run(read, cursor, read_id)
        return size

    def fetch(self, rows: Sequence[int], ahead: bool = False) -> None:
        """Have chunks of one blob, ascending, in the cache; with `ahead` as a prefetch, though in this thread.

        Chunks that the image knows no digest of are never kept, nor are those that a bounded cache has no room for.

        Raises
        ------
        BackendError, IntegrityError
            If one could not be fetched, or is not what the image says.
        CacheError
            If one could not be kept.
        """
        if ahead:
            with prefetching():
                self.prefetcher.fetch(rows)
            return
        with self.changed:
            sizes = [self.decider.layout.size[row] for row in rows]
            read = self.decider.begin(Segments(rows, [0] * len(rows), sizes), USER)
        self.executor.run(read, Nowhere(), -1)
        known, bounded = self.decider.layout.known, self.decider.state.counters[CAPACITY] >= 0
        for row in rows:
            if not bounded and known[row] and self._status[row] == ABSENT:
                blob = self._blob[row]
                raise CacheError("a chunk could not be kept", path=self.files[blob].path, chunk=row)

    def is_ready(self, rows: Sequence[int]) -> bool:
        """Whether all of these chunks are in the cache."""
        status = self._status
        return all(status[row] == READY for row in rows)

    def prefetch(self, rows: Sequence[int]) -> None:
        """Have chunks fetched in the background, in this order."""
        self.prefetch_batches(cut(self.decider.layout, self.decider.options, rows))

    def prefetch_batches(self, batches: Batches) -> None:
        """Have batches fetched in the background, each as one request; see `storage.plan.plan_prefetch`."""
        self.prefetcher.put(batches)

    def prefetch_streams(self) -> None:
        """Have all blobs fetched in the background, each as one stream."""
        self.prefetcher.put_blobs()

    def start_prefetch(self) -> None:
        """Take wishes again after `stop_prefetch`."""
        self.prefetcher.start()

    def stop_prefetch(self) -> None:
        """Drop what is queued, and what is wished for from now on; requests in flight finish."""
        self.prefetcher.stop()

    def drain(self) -> None:
        """Wait until no prefetch is queued or under way."""
        self.prefetcher.drain()

    @property
    def stored(self) -> int:
        """Bytes of chunks admitted to the cache."""
        return int(self.decider.state.counters[STORED])

    def metrics(self) -> dict[str, Any]:
        """What nydusd answers at ``/api/v1/metrics/blobcache``; see `CacheMetrics` for what the names mean."""
        with self.changed:
            ready = len(self._status) > 0 and all(status == READY for status in self._status)
            paths = (file.path for file in self.files)
            noted = 0 if self._checked else self.decider.told + len(self.decider.noted)
            return self.counted.to_dict(paths, self.folder, self.prefetcher.workers, ready, noted)

    def close(self) -> None:
        """Stop prefetching and close the files; what is cached stays."""
        self.prefetcher.close()
        self._refuse("is closed")
        self._fds.clear()
        self._close_files()

    def _close_files(self) -> None:
        if self.dedup is not None:
            self.dedup.close()
        for file in self.files:
            file.close()
        while self.flights:
            land(self.flights.pop())
        self._lock.release()
