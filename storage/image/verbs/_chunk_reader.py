"""Chunks of an image straight from a folder of blobs: no cache, any number of threads."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np

from storage.codec import buffer, crc32c, decompress_into, digest
from storage.errors import FormatError, IntegrityError, MissingBlobError
from storage.image._image import Image

__all__ = ["ChunkReader"]


class ChunkReader:
    """Reads and verifies chunks by their row in the chunk table.

    Parameters
    ----------
    image
        Opened with its blobs, if chunks that no file uses are to be read too.
    folder
        Where the blobs are; each is opened when first needed.
    """

    def __init__(self, image: Image, folder: str | Path) -> None:
        self._image = image
        self._folder = Path(folder)
        self._files: dict[int, int] = {}

    def read(self, row: int) -> memoryview:
        """A chunk's bytes, decompressed and verified; valid until the next call in this thread.

        Raises
        ------
        MissingBlobError
            If its blob is not there.
        IntegrityError
            If the bytes are not what the image says.
        """
        chunks = self._image.chunks
        offset, size = int(chunks.compressed_offset[row]), int(chunks.compressed_size[row])
        return self.decode(row, self.stored(int(chunks.blob[row]), offset, size))

    def stored(self, blob: int, offset: int, size: int) -> memoryview:
        """Bytes of a blob as they are kept; valid until the next call in this thread.

        Raises
        ------
        MissingBlobError, IntegrityError
            If the blob is not there, or ends before.
        """
        data = buffer("stored", size)
        try:
            done = os.preadv(self.descriptor(blob), [data], offset)
        except OSError as error:
            raise IntegrityError(f"the blob cannot be read: {error.strerror}", **self._where(blob, offset)) from error
        if done != size:
            raise IntegrityError("the blob ends before this chunk does", **self._where(blob, offset))
        return data

    def decode(self, row: int, stored: memoryview) -> memoryview:
        """A chunk's bytes from what is kept of it, verified by all that the image knows of them."""
        chunks = self._image.chunks
        info = self._image.infos[int(chunks.blob[row])]
        plain = stored
        if chunks.compressed[row]:
            plain = buffer("plain", int(chunks.uncompressed_size[row]))
            try:
                decompress_into(info.compressor, stored, plain)
            except FormatError as error:
                raise IntegrityError(error.message, **self._of_chunk(row)) from error
        if chunks.has_digest[row]:
            if digest(info.digester, plain) != chunks.digest[row].tobytes():
                raise IntegrityError("a chunk is not what its digest says", **self._of_chunk(row))
        elif chunks.has_crc32c[row] and crc32c(plain) != int(chunks.crc32c[row]):
            raise IntegrityError("a chunk is not what its CRC32C says", **self._of_chunk(row))
        return plain

    def descriptor(self, blob: int) -> int:
        """The open file of a blob.

        Raises
        ------
        MissingBlobError
            If it is not there.
        """
        found = self._files.get(blob)
        if found is None:
            path = self._folder / self._image.infos[blob].blob_id
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
        while self._files:
            os.close(self._files.popitem()[1])

    def _where(self, blob: int, offset: int) -> dict[str, object]:
        return {"blob": self._image.infos[blob].blob_id, "offset": offset}

    def _of_chunk(self, row: int) -> dict[str, object]:
        chunks = self._image.chunks
        where = self._where(int(chunks.blob[row]), int(chunks.compressed_offset[row]))
        return {**where, "chunk": int(np.int64(chunks.index[row]))}

    def __enter__(self) -> ChunkReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
