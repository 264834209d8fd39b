"""Chunks of an image straight from a folder of blobs: no cache, any number of threads."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from storage.codec import buffer
from storage.errors import IntegrityError, MissingBlobError
from storage.image._image import Image
from storage.image.decode import Decoder, Fetched

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
        self._decoder = Decoder(image.infos, image.chunks)
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
        blob = int(chunks.blob[row])
        return self.open(blob, offset, self.stored(blob, offset, size)).chunk(row)

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

    def open(self, blob: int, base: int, stored: memoryview) -> Fetched:
        """Bytes of a blob from offset `base` on, to be asked for their chunks."""
        return self._decoder.open(blob, base, stored)

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

    def __enter__(self) -> ChunkReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
