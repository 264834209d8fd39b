"""Chunks of an image straight from where its blobs are: no cache, any number of threads."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from types import TracebackType

from storage.codec import buffer
from storage.errors import IntegrityError, MissingBlobError
from storage.image._image import Image
from storage.image._source import BlobSource, SourceReader
from storage.image.decode import Decoder, Fetched
from storage.image.tables import PLAIN

__all__ = ["ChunkReader"]


_KEPT_UNITS = 16


class ChunkReader:
    """Reads and verifies chunks by their row in the chunk table.

    Parameters
    ----------
    image
        Opened with its blobs, if chunks that no file uses are to be read too.
    blobs
        Where the blobs are, a folder or what else has them; each is opened when first needed.
    """

    def __init__(self, image: Image, blobs: str | Path | BlobSource) -> None:
        self._image = image
        self._decoder = Decoder(image.infos, image.chunks)
        self._blobs = Path(blobs) if isinstance(blobs, str) else blobs
        self._files: dict[int, int] = {}
        self._readers: dict[int, SourceReader] = {}
        self._units: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._closed = weakref.finalize(self, _close_all, self._files)

    def read(self, row: int) -> memoryview:
        """A chunk's bytes, decompressed and verified; valid until the next call in this thread.

        Raises
        ------
        MissingBlobError
            If its blob is not there.
        IntegrityError
            If the bytes are not what the image says.
        """
        if self._image.chunks.kind[row] == PLAIN:
            return self.open(range(row, row + 1)).chunk(row)
        chunks = self._image.chunks
        unit = self._shared_unit(row)
        first = int(chunks.unit_offset[row])
        plain = memoryview(unit)[first : first + int(chunks.uncompressed_size[row])]
        self._decoder.verify(self._image.infos[int(chunks.blob[row])], row, plain)
        return plain

    def _shared_unit(self, row: int) -> bytes:
        """The plain bytes of a unit of many chunks, kept for the others of them that will be asked for."""
        key = int(self._image.chunks.unit[row])
        with self._lock:
            unit = self._units.pop(key, None)
            if unit is not None:
                self._units[key] = unit
                return unit
        info = self._image.infos[int(self._image.chunks.blob[row])]
        unit = bytes(self._decoder.plain(info, row, self._stored_of(range(row, row + 1))))
        with self._lock:
            self._units[key] = unit
            while len(self._units) > _KEPT_UNITS:
                del self._units[next(iter(self._units))]
        return unit

    def open(self, rows: range) -> Fetched:
        """Chunks that lie one behind the other, to be asked for in order; valid until the next call in this thread.

        Raises
        ------
        MissingBlobError, IntegrityError
            If the blob is not there, or ends before.
        """
        chunks = self._image.chunks
        blob, first = int(chunks.blob[rows.start]), int(chunks.compressed_offset[rows.start])
        return self._decoder.open(blob, first, self._stored_of(rows))

    def _stored_of(self, rows: range) -> memoryview:
        chunks = self._image.chunks
        first = int(chunks.compressed_offset[rows.start])
        end = int(chunks.compressed_offset[rows[-1]] + chunks.compressed_size[rows[-1]])
        return self.stored(int(chunks.blob[rows.start]), first, end - first)

    def stored(self, blob: int, offset: int, size: int) -> memoryview:
        """Bytes of a blob as they are kept; valid until the next call in this thread.

        Raises
        ------
        MissingBlobError, BackendError, IntegrityError
            If the blob is not there, cannot be had, or ends before.
        """
        data = buffer("stored", size)
        if not isinstance(self._blobs, Path):
            self._reader(blob, self._blobs).read_into(data, offset)
            return data
        try:
            done = os.preadv(self._descriptor(blob, self._blobs), [data], offset)
        except OSError as error:
            raise IntegrityError(f"the blob cannot be read: {error.strerror}", **self._where(blob, offset)) from error
        if done != size:
            raise IntegrityError("the blob ends before this chunk does", **self._where(blob, offset))
        return data

    def _reader(self, blob: int, source: BlobSource) -> SourceReader:
        with self._lock:
            found = self._readers.get(blob)
            if found is None:
                found = self._readers[blob] = source.get_reader(self._image.infos[blob].blob_id)
            return found

    def _descriptor(self, blob: int, folder: Path) -> int:
        found = self._files.get(blob)
        if found is None:
            path = folder / self._image.infos[blob].blob_id
            try:
                opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise MissingBlobError(f"the blob cannot be opened: {error.strerror}", path=path) from error
            found = self._files.setdefault(blob, opened)
            if found != opened:  # another thread was first
                os.close(opened)
        return found

    def close(self) -> None:
        """Close the blobs."""
        self._closed()

    def _where(self, blob: int, offset: int) -> dict[str, object]:
        return {"blob": self._image.infos[blob].blob_id, "offset": offset}

    def __enter__(self) -> ChunkReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _close_all(files: dict[int, int]) -> None:
    while files:
        os.close(files.popitem()[1])
