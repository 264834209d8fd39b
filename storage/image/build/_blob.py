"""Writing a data blob: chunks, deduplicated and compressed, and behind them ``blob.meta``.

The bytes are the reference's: its order of files, its alignment, its codec settings.

Source: nydus ``builder/src/core/{node,blob,chunk_dict}.rs``.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from storage.codec import Compressor, Digester, compress, crc32c, digest
from storage.errors import FormatError
from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_INFO_V1,
    MAX_CHUNKS_PER_BLOB,
    META_HEADER,
    META_MAGIC,
)
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._node import Content, Node

__all__ = ["ChunkList", "Sink", "write_blob", "write_chunks"]

_AHEAD = 16  # chunks that may be compressed ahead of the one to be written


@dataclass
class ChunkList:
    """The chunks of an image: equally long lists.

    Attributes
    ----------
    blob, index
        Which blob a chunk is in, and its index there.
    flags
        As the chunk table has them: whether it is compressed, has a CRC32C, and so on.
    duplicates
        Chunks that were there already.
    """

    blob: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    digest: list[bytes] = field(default_factory=list)
    crc32c: list[int] = field(default_factory=list)
    compressed_offset: list[int] = field(default_factory=list)
    compressed_size: list[int] = field(default_factory=list)
    uncompressed_offset: list[int] = field(default_factory=list)
    uncompressed_size: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    duplicates: int = 0

    def __len__(self) -> int:
        return len(self.digest)


class Sink:
    """A blob that is being written: its file, and the SHA-256 of what went there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._checksum = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._checksum.update(data)
        self._file.write(data)
        self.size += len(data)

    def hexdigest(self) -> str:
        """The SHA-256 so far, in hex."""
        return self._checksum.hexdigest()


def write_blob(
    files: Iterable[Node],
    out: Sink,
    compressor: Compressor,
    digester: Digester,
    chunk_size: int,
) -> tuple[ChunkList, BlobInfo | None]:
    """Write the chunks of `files` and their ``blob.meta`` to `out`.

    Returns
    -------
    tuple
        The chunks, and the blob; None where no file has content.

    Raises
    ------
    FormatError
        See `write_chunks`.
    """
    chunks = write_chunks(files, out, compressor, digester, chunk_size)
    if len(chunks) == 0:
        return chunks, None
    return chunks, _write_meta(chunks, out, compressor, digester, chunk_size)


def write_chunks(
    files: Iterable[Node],
    out: Sink,
    compressor: Compressor,
    digester: Digester,
    chunk_size: int,
    aligned: bool = True,
) -> ChunkList:
    """Write the chunks of `files` to `out`.

    Each file's `Node.chunks` is filled in. Chunks are compressed by all cores, a few ahead of
    the one that is written, so memory does not grow with the tree. In the uncompressed blob
    they begin at multiples of 4096 if `aligned`, else where the one before ends.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    chunks = ChunkList()
    unit = BLOCK_SIZE if aligned else 1
    waiting: deque[tuple[bytes, Future[bytes]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for plain in _new_chunks(files, chunks, digester, chunk_size, unit):
                waiting.append((plain, pool.submit(compress, compressor, plain)))
                if len(waiting) > _AHEAD:
                    _write_chunk(*waiting.popleft(), chunks, out)
            while waiting:
                _write_chunk(*waiting.popleft(), chunks, out)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return chunks


def _new_chunks(
    files: Iterable[Node], chunks: ChunkList, digester: Digester, chunk_size: int, unit: int
) -> Iterator[bytes]:
    """Bytes of each chunk that is not there yet, in order; the others are only noted."""
    index_of: dict[bytes, int] = {}
    seen: dict[object, list[int]] = {}
    for node in files:
        if node.identity in seen:
            node.chunks = seen[node.identity]
            continue
        for plain in _read(node, chunk_size):
            key = digest(digester, plain)
            index = index_of.get(key, -1)
            if index < 0:
                index = index_of[key] = _append(chunks, key, plain, unit)
                yield plain
            else:
                chunks.duplicates += 1
            node.chunks.append(index)
        if node.identity is not None:
            seen[node.identity] = node.chunks


def _append(chunks: ChunkList, key: bytes, plain: bytes, unit: int) -> int:
    index = len(chunks)
    if index >= MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"the tree has more than {MAX_CHUNKS_PER_BLOB} chunks: take larger ones")
    end = chunks.uncompressed_offset[-1] + chunks.uncompressed_size[-1] if index else 0
    chunks.blob.append(0)
    chunks.index.append(index)
    chunks.digest.append(key)
    chunks.crc32c.append(crc32c(plain))
    chunks.uncompressed_offset.append(-(-end // unit) * unit)
    chunks.uncompressed_size.append(len(plain))
    return index


def _read(node: Node, chunk_size: int) -> Iterator[bytes]:
    """A file in chunks."""
    if node.size == 0 or node.open is None:
        return
    try:
        with node.open() as content:
            for offset in range(0, node.size, chunk_size):
                yield _read_exactly(content, min(chunk_size, node.size - offset), node)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=node.path) from error


def _read_exactly(content: Content, length: int, node: Node) -> bytes:
    buffer = memoryview(bytearray(length))
    done = 0
    while done < length:
        count = content.readinto(buffer[done:])
        if not count:
            raise FormatError("became shorter while it was read", path=node.path)
        done += count
    return bytes(buffer)


def _write_chunk(plain: bytes, packed: Future[bytes], chunks: ChunkList, out: Sink) -> None:
    stored = packed.result()
    compressed = len(stored) < len(plain)
    if not compressed:
        stored = plain
    index = len(chunks.compressed_offset)
    offset = chunks.compressed_offset[-1] + chunks.compressed_size[-1] if index else 0
    chunks.compressed_offset.append(offset)
    chunks.compressed_size.append(len(stored))
    chunks.flags.append(CHUNK_HAS_CRC32 | compressed)
    out.write(stored)


def _write_meta(
    chunks: ChunkList,
    out: Sink,
    compressor: Compressor,
    digester: Digester,
    chunk_size: int,
) -> BlobInfo:
    array = _chunk_info(chunks).tobytes()
    stored = compress(compressor, array)
    meta_compressor = compressor if len(stored) < len(array) else Compressor.NONE
    if meta_compressor is Compressor.NONE:
        stored = array
    offset = chunks.compressed_offset[-1] + chunks.compressed_size[-1]
    features = BlobFeatures.ALIGNED | BlobFeatures.CAP_TAR_TOC
    header = np.zeros(1, META_HEADER)
    header["magic"] = header["magic2"] = META_MAGIC
    header["features"] = features
    header["ci_compressor"] = meta_compressor
    header["ci_entries"] = len(chunks)
    header["ci_offset"] = offset
    header["ci_compressed_size"] = len(stored)
    header["ci_uncompressed_size"] = len(array)
    out.write(stored)
    out.write(header.tobytes())
    end = chunks.uncompressed_offset[-1] + chunks.uncompressed_size[-1]
    return BlobInfo(
        blob_index=0,
        blob_id=out.hexdigest(),
        features=features,
        compressed_size=offset + len(stored) + header.nbytes,
        uncompressed_size=-(-end // BLOCK_SIZE) * BLOCK_SIZE,
        chunk_size=chunk_size,
        chunk_count=len(chunks),
        compressor=compressor,
        digester=digester,
        meta_ci_compressor=meta_compressor,
        meta_ci_offset=offset,
        meta_ci_compressed_size=len(stored),
        meta_ci_uncompressed_size=len(array),
    )


def _chunk_info(chunks: ChunkList) -> np.ndarray:
    """The chunk information array, version 1."""
    size = np.array(chunks.compressed_size, np.uint64) - np.uint64(1)
    plain = np.array(chunks.uncompressed_size, np.uint64) - np.uint64(1)
    offset, place = np.array(chunks.compressed_offset, np.uint64), np.array(chunks.uncompressed_offset, np.uint64)
    if offset[-1] >= 1 << 40 or place[-1] >= 1 << 44:
        raise FormatError("the tree is too large for one blob")
    low, high = np.uint64(0xFFFFF), np.uint64(0xF00000)
    records = np.zeros(len(chunks), CHUNK_INFO_V1)
    records["compressed"] = (size & low) << np.uint64(44) | (size & high) << np.uint64(20) | offset
    records["uncompressed"] = (plain & low) << np.uint64(44) | (plain & high) >> np.uint64(12) | place
    return records
