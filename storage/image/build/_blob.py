"""Writing a data blob's chunks: deduplicated, put together in batches, compressed, encrypted.

The bytes are the reference's: its order of files, its alignment, its codec settings.

Source: nydus ``builder/src/core/{node,blob,chunk_dict}.rs``, ``storage/src/meta/batch.rs``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from storage.codec import Cipher, Compressor, compress, compress_all, crc32c, digest, encrypt
from storage.errors import FormatError
from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_IS_COMPRESSED,
    MAX_CHUNKS_PER_BLOB,
    RECORD_IS_ENCRYPTED,
)
from storage.image.build._chunk_dict import ChunkDict
from storage.image.build._chunk_list import OWN, ChunkList, Unit
from storage.image.build._load import Piece, read_pieces
from storage.image.build._node import Node
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink

__all__ = ["pack", "write_chunks"]

_AHEAD = 6  # loads that may be read ahead of the one that is written
_BATCHES_AHEAD = 8

Packed = tuple[bytes | memoryview, bool]  # bytes, and whether they are compressed
Worked = tuple[bytes, int, Packed | None]  # digest, CRC32C, and how it is stored unless that is not known yet


def write_chunks(
    files: Iterable[Node],
    out: Sink,
    recipe: Recipe,
    dictionary: ChunkDict | None = None,
) -> ChunkList:
    """Write the chunks of `files` to `out`, but for those that the dictionary has.

    Each file's `Node.chunks` is filled in, if only after the next few files were asked for.
    All cores digest and compress, a few MiB ahead of what is written, so memory does not grow
    with the tree.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    waiting: deque[tuple[list[Piece], Future[list[Worked]]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        writer = _Writer(out, recipe, dictionary, pool)
        try:
            for pieces in read_pieces(files, recipe):
                waiting.append((pieces, pool.submit(_work, pieces, recipe, writer.row_of)))
                del pieces  # so that its buffer can be used again
                if len(waiting) > _AHEAD:
                    writer.put(*waiting.popleft())
            while waiting:
                writer.put(*waiting.popleft())
            writer.finish()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return writer.chunks


def _work(pieces: list[Piece], recipe: Recipe, known: Collection[bytes]) -> list[Worked]:
    """What costs time and does not depend on the other chunks; the short ones of a load are packed in one call."""
    worked = [_checked(piece, recipe) for piece in pieces]
    new = [at for at, piece in enumerate(pieces) if not piece.small and worked[at][0] not in known]
    for at, packed in zip(new, _pack_all(recipe, [pieces[at].plain for at in new]), strict=True):
        worked[at] = (*worked[at][:2], packed)
    return worked


def _checked(piece: Piece, recipe: Recipe) -> Worked:
    return *(piece.checked or (digest(recipe.digester, piece.plain), crc32c(piece.plain))), None


def pack(recipe: Recipe, plain: bytes | memoryview) -> Packed:
    """A unit as it is stored, and whether it is compressed: what does not get smaller is not."""
    if recipe.compressor is Compressor.NONE:
        return _finished(recipe, plain, plain)
    return _finished(recipe, plain, compress(recipe.compressor, plain))


def _pack_all(recipe: Recipe, plains: list[memoryview]) -> list[Packed]:
    stored = plains if recipe.compressor is Compressor.NONE else compress_all(recipe.compressor, [*plains])
    return [_finished(recipe, *pair) for pair in zip(plains, stored, strict=True)]


def _finished(recipe: Recipe, plain: bytes | memoryview, stored: bytes | memoryview) -> Packed:
    compressed = len(stored) < len(plain)
    stored = stored if compressed else plain
    return stored if recipe.cipher is Cipher.NONE else encrypt(recipe.cipher, recipe.key, recipe.iv, stored), compressed


class _Writer:
    """What is decided chunk by chunk, in their order."""

    def __init__(self, out: Sink, recipe: Recipe, dictionary: ChunkDict | None, pool: Executor) -> None:
        self.chunks = ChunkList()
        self.row_of: dict[bytes, int] = {}
        self._out = out
        self._recipe = recipe
        self._dictionary = dictionary
        self._pool = pool
        self._count = 0
        self._end = 0
        self._batch = Unit([], 0, batch=True)
        self._parts: list[bytes] = []
        self._packing: deque[tuple[Unit, Packed | Future[Packed]]] = deque()

    def put(self, pieces: list[Piece], worked: Future[list[Worked]]) -> None:
        """Take over the chunks of one load: the new ones are written, the others only noted."""
        for (node, plain, small, _), (key, checksum, packed) in zip(pieces, worked.result(), strict=True):
            row = self.row_of.get(key, -1)
            if row < 0 and self._dictionary is not None:
                row = self.row_of[key] = _from_dictionary(self.chunks, self._dictionary, key, len(plain))
            if row >= 0:
                self.chunks.duplicates += 1
            else:
                row = self.row_of[key] = self._append(key, checksum, len(plain))
                self._store(row, plain, small, packed)
            node.chunks.append(row)

    def finish(self) -> None:
        """Write what is left."""
        self._end_batch()
        self._write(0)

    def _append(self, key: bytes, checksum: int, size: int) -> int:
        index, offset = self._count, self._end
        if index >= MAX_CHUNKS_PER_BLOB:
            raise FormatError(f"the tree has more than {MAX_CHUNKS_PER_BLOB} chunks: take larger ones")
        unit = BLOCK_SIZE if self._recipe.aligned else 1
        self._count, self._end = index + 1, -(-(offset + size) // unit) * unit
        return self.chunks.append(
            OWN,
            key,
            index=index,
            crc32c=checksum,
            flags=CHUNK_HAS_CRC32 | (0 if self._recipe.cipher is Cipher.NONE else RECORD_IS_ENCRYPTED),
            uncompressed_offset=offset,
            uncompressed_size=size,
        )

    def _store(self, row: int, plain: memoryview, small: bool, packed: Packed | None) -> None:
        """Small chunks go together, until they would reach a batch or a large one comes."""
        batch = self._batch
        if batch.rows and (not small or batch.plain_size + len(plain) >= self._recipe.batch_size):
            self._end_batch()
            batch = self._batch
        if small:
            batch.rows.append(row)
            batch.plain_size += len(plain)
            self._parts.append(bytes(plain))
        else:
            assert packed is not None  # but for what was known, which is not stored again
            self._packing.append((Unit([row], len(plain), batch=False), packed))
            self._write(_BATCHES_AHEAD if self._recipe.batch_size else 0)

    def _end_batch(self) -> None:
        if self._batch.rows:
            self._packing.append((self._batch, self._pool.submit(pack, self._recipe, b"".join(self._parts))))
            self._batch, self._parts = Unit([], 0, batch=True), []
            self._write(_BATCHES_AHEAD)

    def _write(self, ahead: int) -> None:
        """Write units in their order, but for the last few, which may be in work still."""
        chunks, out = self.chunks, self._out
        while len(self._packing) > ahead:
            unit, packed = self._packing.popleft()
            stored, compressed = packed.result() if isinstance(packed, Future) else packed
            unit.offset, unit.size = out.size, len(stored)
            if not unit.batch:
                (row,) = unit.rows
                chunks.compressed_offset[row], chunks.compressed_size[row] = unit.offset, unit.size
                chunks.flags[row] |= CHUNK_IS_COMPRESSED if compressed else 0
            chunks.units.append(unit)
            out.write(stored)


def _from_dictionary(chunks: ChunkList, dictionary: ChunkDict, key: bytes, size: int) -> int:
    """Add a chunk as the dictionary has it; -1 if it has not."""
    record = dictionary.find(key, size)
    if record is None:
        return -1
    names = ("index", "flags", "compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")
    values = {name: int(record[name]) for name in names}
    return chunks.append(int(record["blob_index"]), key, crc32c=int(record["crc32"]), **values)
