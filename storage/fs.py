"""RAFS in process: look names up, list folders, read files through the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from storage.backend import MeteredBackend
from storage.cache import DummyCache, FileCache
from storage.device import BlobDevice, BlobIoVec, Buffer
from storage.errors import ConfigError, PathError
from storage.image import Image
from storage.image.v5 import Amplifier
from storage.metrics import Fop, FsIoStats
from storage.plan import Ahead, plan_prefetch

__all__ = ["Rafs"]

_log = logging.getLogger("storage.fs")


class Rafs:
    """An image opened for reading: metadata from its tables, data through a `BlobDevice`.

    What is done to files is counted in `stats`, file by file if those say so. With an `amplifier`,
    reads of a v5 image are widened as nydusd's file system layer does.

    Where blobs come from is in `backends`, each with its metrics, unless a backend was given that has none.

    Files are named by path, or by their row in the image's inode table, which saves the
    look-up. Safe to use from several threads.

    Examples
    --------
    >>> with open_store("image", cache_dir="cache") as rafs:
    ...     rafs.read("/json/__init__.py", 0, 4096)
    """

    def __init__(
        self,
        image: Image,
        cache: FileCache | DummyCache,
        amplifier: Amplifier | None = None,
        stats: FsIoStats | None = None,
    ) -> None:
        self.image = image
        self.stats = stats or FsIoStats()
        self.cache = cache
        self._amplifier = amplifier
        self.owned: list[Callable[[], object]] = []  # called when it is closed
        self.backends: list[MeteredBackend] = []
        self.device = BlobDevice(image.infos, image.blobs, image.chunks, cache)
        self._blob = image.chunks.blob.data
        self._nid = image.inodes.nid.data

    def lookup(self, path: str | bytes) -> int:
        """The inode row of a path.

        Raises
        ------
        PathError
            If there is no such file.
        """
        try:
            row = self.image.lookup(path)
        except PathError:
            self.stats.count(Fop.LOOKUP, 0, failed=True)
            raise
        self._count(Fop.LOOKUP, row)
        return row

    def _count(self, fop: Fop, row: int) -> int:
        self.stats.count(fop, self._nid[row])
        return row

    def readdir(self, path: str | bytes) -> list[str]:
        """Names in a folder, in the image's order."""
        row = self._count(Fop.READDIR, self.lookup(path))
        return [name.decode("utf-8", "surrogateescape") for name, _ in self.image.children(row)]

    def stat(self, path: str | bytes) -> Any:
        """What the image knows of a file; see `Image.stat`."""
        return self.image.stat(self._count(Fop.GETATTR, self.lookup(path)))

    def readlink(self, path: str | bytes) -> str:
        """Where a symbolic link points."""
        return self.image.readlink(self._count(Fop.READLINK, self.lookup(path))).decode("utf-8", "surrogateescape")

    def read(self, file: str | bytes | int, offset: int = 0, length: int = -1) -> bytes:
        """Bytes of a regular file, fewer than `length` at its end; by default all.

        Raises
        ------
        PathError
            If the file is not there or is not a regular file.
        BackendError, IntegrityError, CacheError
            See `BlobDevice.read_to`.
        """
        row = file if isinstance(file, int) else self.lookup(file)
        left = max(int(self.image.inodes.size[row]) - max(offset, 0), 0)
        data = bytearray(left if length < 0 else min(length, left))
        return bytes(data[: self.readinto(row, offset, data, asked=length)])

    def readinto(self, row: int, offset: int, buffer: Buffer, read_id: int | None = None, asked: int = -1) -> int:
        """Fill `buffer` from a regular file; returns how many bytes there were.

        `read_id`, from ``cache.new_read_id()``, is for callers that keep a record of their own;
        `asked` for those who know that more was asked than the file has: nydusd widens no read
        that asks for a whole window.
        """
        if offset < 0:
            raise PathError("a read cannot begin before its file", path=self.image.path_of(row), offset=offset)
        start = time.monotonic_ns()
        if read_id is None:
            read_id = self.cache.new_read_id()
        try:
            size = self._read(row, offset, buffer, max(asked, len(buffer)), read_id)
        except BaseException as error:
            self.cache.log.failed_read(start, read_id, error, offset, len(buffer))
            self.stats.count(Fop.READ, self._nid[row], 0, (time.monotonic_ns() - start) // 1000, failed=True)
            raise
        self.stats.count(Fop.READ, self._nid[row], size, (time.monotonic_ns() - start) // 1000)
        self.cache.log.read(start, read_id, offset, len(buffer), size)
        return size

    def _read(self, row: int, offset: int, buffer: Buffer, asked: int, read_id: int) -> int:
        iovecs = self.io_vecs(row, offset, len(buffer))
        if self._amplifier is not None and iovecs and not self.device.all_chunks_ready(iovecs):
            self._read_along(self._amplifier, iovecs[-1], row, offset, asked)
        if len(iovecs) == 1:
            return self.device.read_to(iovecs[0], [buffer], read_id)
        done, view = 0, memoryview(buffer)
        for iovec in iovecs:
            done += self.device.read_to(iovec, [view[done : done + iovec.size]], read_id)
        return done

    def _read_along(self, amplifier: Amplifier, iovec: BlobIoVec, row: int, offset: int, length: int) -> None:
        """Have chunks fetched with the last of the read's, none of whose bytes the user gets."""
        segments = (iovec.rows, iovec.offsets, iovec.lengths)
        iovec.rows, iovec.offsets, iovec.lengths = amplifier.widened(row, offset, length, segments)

    def io_vecs(self, row: int, offset: int, length: int) -> list[BlobIoVec]:
        """The IO that a read of a file is made of: a vector for each run of chunks of one blob."""
        rows, offsets, lengths = self.image.segments(row, offset, length)
        vectors: list[BlobIoVec] = []
        start = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or self._blob[rows[end]] != self._blob[rows[start]]:
                part = slice(start, end)
                info = self.image.infos[self._blob[rows[start]]]
                vectors.append(BlobIoVec(info, self.image.chunks, rows[part], offsets[part], lengths[part]))
                start = end
        return vectors

    def prefetch(self, rows: Sequence[int]) -> None:
        """Have chunks fetched in the background, in this order."""
        self.cache.prefetch(rows)

    def answer(self, ahead: Ahead) -> None:
        """From now on, let a prefetch policy suggest chunks at each read; see `storage.plan.Ahead`."""
        if isinstance(self.cache, FileCache):
            self.cache.answer(ahead)

    def prefetch_files(self, files: Sequence[str] | None = None, prefetch_all: bool = False) -> None:
        """Have what nydusd would read ahead fetched in the background; see `storage.plan.plan_prefetch`.

        Parameters
        ----------
        files
            Files and folders, in the place of the image's prefetch table; those that are not there are
            skipped, with a word in the log. ``["/"]`` stands for everything.
        prefetch_all
            Whether everything else comes after them.
        """
        if isinstance(self.cache, DummyCache):
            return  # there is no place for what would be fetched
        rows = None if files is None else [row for path in files for row in self._found(path)]
        decider = self.cache.decider
        self.cache.prefetch_batches(plan_prefetch(self.image, decider.layout, decider.options, rows, prefetch_all))

    def _found(self, path: str) -> list[int]:
        try:
            return [self.lookup(path)]
        except PathError as error:
            _log.warning("not prefetched: %s", error)
            return []

    def prefetch_streams(self) -> None:
        """Have each blob read whole in the background, as one stream."""
        if isinstance(self.cache, FileCache):
            self.cache.prefetch_streams()

    def drain(self) -> None:
        """Wait until no prefetch is queued or under way."""
        self.cache.drain()

    def update(self, other: Rafs) -> None:
        """Read from now on as another store of the same image does, which is used up by it.

        So the backend, the cache and how they are used can be changed while files are read: reads under way end as
        they began, and then what was used before is closed. Give the other a recorder of its own.

        Raises
        ------
        ConfigError
            If it is a store of another image.
        """
        if other.image.bootstrap_digest != self.image.bootstrap_digest:
            raise ConfigError("that is a store of another image", field="image")
        before, self.owned, other.owned = self.owned, other.owned, []
        self.cache, self.backends, self._amplifier = other.cache, other.backends, other._amplifier
        self.device.update(other.cache)
        while before:
            before.pop()()

    def close(self) -> None:
        """Close the store; what is cached stays."""
        self.cache.close()
        while self.owned:
            self.owned.pop()()

    def __enter__(self) -> Rafs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
