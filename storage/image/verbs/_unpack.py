"""Unpacking an image to a tar, as a stream.

Source: nydus ``src/bin/nydus-image/unpack``.
"""

from __future__ import annotations

import os
import tarfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from storage.errors import FormatError
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._source import BlobSource
from storage.image.verbs._members import Member, members
from storage.progress import progress_bar

__all__ = ["Unpacked", "read_content", "unpack"]

_AHEAD = 16  # chunks that are decompressed before they are written


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked.

    Attributes
    ----------
    files
        Members of the tar.
    bytes
        Content in them.
    sockets
        Files left out, since tar has no sockets.
    """

    files: int
    bytes: int
    sockets: int


def unpack(image: Image, blobs: str | Path | BlobSource, out: IO[bytes], *, progress: bool = False) -> Unpacked:
    """Write an image as a tar in PAX format: owners, times to the nanosecond, xattrs, devices, hard links.

    Nothing is written but `out`, and no name in it climbs out of the folder it is extracted to.

    Parameters
    ----------
    blobs
        The folder of blobs, or what else has them.
    out
        Where the tar goes; need not be seekable.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    MissingBlobError, IntegrityError
        If a chunk cannot be read, or is not what the image says; the tar ends there.
    FormatError
        If the image's tree is broken.
    """
    files = size = sockets = 0
    total = int(image.inodes.size[image.inodes.extents > 0].sum())
    with (
        ChunkReader(image, blobs) as reader,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress_bar(progress, total, "unpack") as move,
    ):
        for member in members(image):
            if not member.header:
                sockets += 1
                continue
            files += 1
            out.write(member.header)
            for part in _content(image, member, reader, pool):
                out.write(part)
                size += len(part)
                move(len(part))
            if member.row >= 0:
                out.write(bytes(-int(image.inodes.size[member.row]) % tarfile.BLOCKSIZE))
        out.write(bytes(2 * tarfile.BLOCKSIZE))
    return Unpacked(files, size, sockets)


def _content(image: Image, member: Member, reader: ChunkReader, pool: ThreadPoolExecutor) -> Iterator[bytes]:
    return read_content(image, member.row, reader, pool) if member.row >= 0 else iter(())


def read_content(image: Image, row: int, reader: ChunkReader, pool: ThreadPoolExecutor) -> Iterator[bytes]:
    """A regular file chunk by chunk, some decompressed ahead.

    Raises
    ------
    FormatError
        If its chunks do not make up its size.
    MissingBlobError, IntegrityError
        See `ChunkReader.read`.
    """
    first, count = int(image.inodes.first_extent[row]), int(image.inodes.extents[row])
    lengths = image.extents.length[first : first + count].tolist()
    if sum(lengths) != int(image.inodes.size[row]):
        raise FormatError("a file's chunks do not make up its size", path=image.path_of(row))
    waiting: deque[Future[bytes]] = deque()
    for chunk, length in zip(image.extents.chunk[first : first + count].tolist(), lengths, strict=True):
        waiting.append(pool.submit(_read, reader, chunk, length))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read(reader: ChunkReader, chunk: int, length: int) -> bytes:
    return bytes(reader.read(chunk)[:length])
