"""Writing a data blob's chunks: deduplicated, put together in batches, compressed, encrypted.

The bytes are the reference's: its order of files, its alignment, its codec settings.

Source: nydus ``builder/src/core/{node,blob,chunk_dict}.rs``, ``storage/src/meta/batch.rs``.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from storage.codec import Cipher, Compressor, compress, crc32c, digest, encrypt
from storage.errors import FormatError
from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_IS_COMPRESSED,
    MAX_CHUNKS_PER_BLOB,
    RECORD_IS_ENCRYPTED,
)
from storage.image.build._chunk_dict import ChunkDict
from storage.image.build._node import Content, Node
from storage.image.build._recipe import Recipe

__all__ = ["OWN", "ChunkList", "Sink", "Unit", "pack", "write_chunks"]

_AHEAD = 8  # groups of units that may be compressed, or written, ahead of the one that is waited for
_GROUP = 1 << 20  # bytes that are worth a thread's while
OWN = -1  # the blob that is written, among those of the chunk dict


@dataclass
class Unit:
    """What is stored as one: rows of the chunk list, and where it lies; several rows are a batch."""

    rows: list[int]
    plain_size: int
    batch: bool
    offset: int = 0
    size: int = 0


@dataclass
class ChunkList:
    """The chunks of an image: equally long lists.

    Attributes
    ----------
    blob, index
        Which blob a chunk is in, and its index there.
    flags
        As the chunk table has them: whether it is compressed, has a CRC32C, and so on.
    blobs
        Which blobs those are, in the order of their first use: blobs of the chunk dict, or OWN.
    units
        Of the blob that is written.
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
    blobs: list[int] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    duplicates: int = 0

    def __len__(self) -> int:
        return len(self.digest)

    @property
    def own(self) -> list[int]:
        """Rows in the blob that is written, in its order."""
        return [row for unit in self.units for row in unit.rows]

    def append(self, blob: int, key: bytes, **values: int) -> int:
        """Add a chunk of a blob as `blobs` has it; returns its row."""
        if blob not in self.blobs:
            self.blobs.append(blob)
        self.blob.append(self.blobs.index(blob))
        self.digest.append(key)
        for name, value in values.items():
            getattr(self, name).append(value)
        return len(self.digest) - 1


class Sink:
    """A blob that is being written: its file, and the SHA-256 of what went there.

    Both are done by a thread of its own, a MiB or so at a time.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._checksum = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1)
        self._under_way: deque[Future[None]] = deque()
        self._parts: list[bytes] = []
        self._waiting = 0
        self.size = 0

    def write(self, data: bytes, counted: bool = True) -> None:
        """Append bytes; those that are not `counted` are left out of the SHA-256."""
        if not counted:
            self._flush()
            self._file.write(data)
        else:
            self._parts.append(data)
            self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _GROUP:
            self._hand_over()
        if len(self._under_way) > _AHEAD:
            self._under_way.popleft().result()

    def _hand_over(self) -> None:
        if not self._parts:
            return
        self._under_way.append(self._pool.submit(self._put, self._parts))
        self._parts, self._waiting = [], 0

    def _put(self, parts: list[bytes]) -> None:
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._checksum.update(data)
        self._file.write(data)

    def _flush(self) -> None:
        self._hand_over()
        while self._under_way:
            self._under_way.popleft().result()

    def close(self) -> None:
        """Have everything written, and end the thread."""
        try:
            self._flush()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def digest(self) -> bytes:
        """The SHA-256 so far."""
        self._flush()
        return self._checksum.digest()

    def hexdigest(self) -> str:
        """The SHA-256 so far, in hex."""
        return self.digest().hex()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_Packed = tuple[bytes, bool]  # bytes, and whether they are compressed


class _New(NamedTuple):
    """A chunk that is not there yet."""

    row: int
    plain: bytes
    small: bool  # it may go into a batch


def write_chunks(files: Iterable[Node], out: Sink, recipe: Recipe, dictionary: ChunkDict | None = None) -> ChunkList:
    """Write the chunks of `files` to `out`, but for those that the dictionary has.

    Each file's `Node.chunks` is filled in. Chunks are compressed by all cores, a few ahead of
    the one that is written, so memory does not grow with the tree.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    chunks = ChunkList()
    waiting: deque[tuple[list[Unit], Future[list[_Packed]]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for units, plains in _groups(_units(_new_chunks(files, chunks, recipe, dictionary), recipe.batch_size)):
                waiting.append((units, pool.submit(_pack_all, recipe, plains)))
                if len(waiting) > _AHEAD:
                    _write_units(*waiting.popleft(), chunks, out)
            while waiting:
                _write_units(*waiting.popleft(), chunks, out)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return chunks


def _new_chunks(
    files: Iterable[Node], chunks: ChunkList, recipe: Recipe, dictionary: ChunkDict | None
) -> Iterator[_New]:
    """Each chunk that is not there yet, in order; the others are only noted."""
    row_of: dict[bytes, int] = {}
    seen: dict[object, list[int]] = {}
    count = end = 0
    for node in files:
        if node.identity in seen:
            node.chunks = seen[node.identity]
            continue
        small = node.size <= recipe.chunk_size and node.size < recipe.batch_size // 2
        for plain in _read(node, recipe.chunk_size):
            key = digest(recipe.digester, plain)
            row = row_of.get(key, -1)
            if row < 0 and dictionary is not None:
                row = row_of[key] = _from_dictionary(chunks, dictionary, key, len(plain))
            if row < 0:
                row = row_of[key] = _append(chunks, key, plain, count, end, recipe)
                unit = BLOCK_SIZE if recipe.aligned else 1
                count, end = count + 1, -(-(chunks.uncompressed_offset[row] + len(plain)) // unit) * unit
                yield _New(row, plain, small)
            else:
                chunks.duplicates += 1
            node.chunks.append(row)
        if node.identity is not None:
            seen[node.identity] = node.chunks


def _from_dictionary(chunks: ChunkList, dictionary: ChunkDict, key: bytes, size: int) -> int:
    """Add a chunk as the dictionary has it; -1 if it has not."""
    record = dictionary.find(key, size)
    if record is None:
        return -1
    names = ("index", "flags", "compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")
    values = {name: int(record[name]) for name in names}
    return chunks.append(int(record["blob_index"]), key, crc32c=int(record["crc32"]), **values)


def _append(chunks: ChunkList, key: bytes, plain: bytes, index: int, offset: int, recipe: Recipe) -> int:
    if index >= MAX_CHUNKS_PER_BLOB:
        raise FormatError(f"the tree has more than {MAX_CHUNKS_PER_BLOB} chunks: take larger ones")
    return chunks.append(
        OWN,
        key,
        index=index,
        crc32c=crc32c(plain),
        compressed_offset=0,  # which stays so for chunks of a batch
        compressed_size=0,
        uncompressed_offset=offset,
        uncompressed_size=len(plain),
        flags=CHUNK_HAS_CRC32 | (0 if recipe.cipher is Cipher.NONE else RECORD_IS_ENCRYPTED),
    )


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


def _units(new: Iterable[_New], batch_size: int) -> Iterator[tuple[Unit, bytes]]:
    """Chunks as they are stored: small ones together, until they would reach a batch or a large one comes."""
    rows, parts, size = list[int](), list[bytes](), 0
    for chunk in new:
        if rows and (not chunk.small or size + len(chunk.plain) >= batch_size):
            yield Unit(rows, size, batch=True), b"".join(parts)
            rows, parts, size = [], [], 0
        if not chunk.small:
            yield Unit([chunk.row], len(chunk.plain), batch=False), chunk.plain
            continue
        rows.append(chunk.row)
        parts.append(chunk.plain)
        size += len(chunk.plain)
    if rows:
        yield Unit(rows, size, batch=True), b"".join(parts)


def _groups(units: Iterable[tuple[Unit, bytes]]) -> Iterator[tuple[list[Unit], list[bytes]]]:
    """Units by the MiB, so that small ones do not cost a hand-over each."""
    group, plains, size = list[Unit](), list[bytes](), 0
    for unit, plain in units:
        group.append(unit)
        plains.append(plain)
        size += len(plain)
        if size >= _GROUP:
            yield group, plains
            group, plains, size = [], [], 0
    if group:
        yield group, plains


def _pack_all(recipe: Recipe, plains: list[bytes]) -> list[_Packed]:
    return [pack(recipe, plain) for plain in plains]


def pack(recipe: Recipe, plain: bytes) -> _Packed:
    """A unit as it is stored, and whether it is compressed: what does not get smaller is not."""
    stored = plain if recipe.compressor is Compressor.NONE else compress(recipe.compressor, plain)
    compressed = len(stored) < len(plain)
    stored = stored if compressed else plain
    return stored if recipe.cipher is Cipher.NONE else encrypt(recipe.cipher, recipe.key, recipe.iv, stored), compressed


def _write_units(units: list[Unit], packed: Future[list[_Packed]], chunks: ChunkList, out: Sink) -> None:
    for unit, (stored, compressed) in zip(units, packed.result(), strict=True):
        unit.offset, unit.size = out.size, len(stored)
        if not unit.batch:
            (row,) = unit.rows
            chunks.compressed_offset[row], chunks.compressed_size[row] = unit.offset, unit.size
            chunks.flags[row] |= CHUNK_IS_COMPRESSED if compressed else 0
        chunks.units.append(unit)
        out.write(stored)
