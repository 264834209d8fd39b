"""Writing a data blob's chunks: deduplicated, put together in batches, compressed, encrypted.

The bytes are the reference's: its order of files, its alignment, its codec settings.

Source: nydus ``builder/src/core/{node,blob,chunk_dict}.rs``, ``storage/src/meta/batch.rs``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import chain, islice

from storage.codec import Cipher
from storage.errors import FormatError
from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_HAS_CRC32,
    CHUNK_IS_COMPRESSED,
    MAX_CHUNKS_PER_BLOB,
    RECORD_IS_ENCRYPTED,
)
from storage.image.build._blocks import Block, Blocks
from storage.image.build._chunk_dict import ChunkDict
from storage.image.build._chunk_list import OWN, ChunkList, Unit
from storage.image.build._crew import CREW, crew, may_fork
from storage.image.build._load import LOAD, MOST, Load, read_loads
from storage.image.build._node import Node
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._work import Worked, Worker, pack, room

__all__ = ["write_chunks"]

_AHEAD = 2 * CREW + 2  # loads that may be in work ahead of the one that is written
_BATCHES_AHEAD = 8
_SINK = 4  # blocks that may be on their way to the disk
_FEW = 8  # loads that are not worth a process

Packed = tuple[bytes | memoryview, bool]  # bytes, and whether they are compressed


def write_chunks(
    files: Iterable[Node],
    out: Sink,
    recipe: Recipe,
    dictionary: ChunkDict | None = None,
) -> ChunkList:
    """Write the chunks of `files` to `out`, but for those that the dictionary has.

    Each file's `Node.chunks` is filled in, if only after the next few files were asked for.
    All cores read, digest and compress, a few MiB ahead of what is written, so memory does not
    grow with the tree.

    Raises
    ------
    FormatError
        If a file cannot be read, or is not as long as it was.
    """
    size = max(LOAD, recipe.chunk_size)
    blocks = Blocks(_AHEAD + _BATCHES_AHEAD + _SINK, size, room(size, MOST))

    def take() -> Block:
        while (block := blocks.take()) is None:
            out.settle()
        return block

    loads = read_loads(files, recipe, take)
    first = list(islice(loads, _FEW))
    forked = len(first) == _FEW and may_fork()
    waiting: deque[tuple[Load, Callable[[], list[Worked]]]] = deque()
    with crew(lambda: Worker(blocks, recipe), forked) as submit, ThreadPoolExecutor(CREW) as pool:
        writer = _Writer(out, recipe, dictionary, pool)
        for load in chain(_drained(first), loads):
            waiting.append((load, submit((load.block.number, load.pieces))))
            del load  # so that its block can be taken again
            if len(waiting) > _AHEAD:
                writer.put(*waiting.popleft())
        while waiting:
            writer.put(*waiting.popleft())
        writer.finish()
    return writer.chunks


def _drained(loads: list[Load]) -> Iterator[Load]:
    while loads:
        yield loads.pop(0)


class _Writer:
    """What is decided chunk by chunk, in their order."""

    def __init__(self, out: Sink, recipe: Recipe, dictionary: ChunkDict | None, pool: Executor) -> None:
        self.chunks = ChunkList()
        self._row_of: dict[bytes, int] = {}
        self._out = out
        self._recipe = recipe
        self._dictionary = dictionary
        self._pool = pool
        self._count = 0
        self._end = 0
        self._batch = Unit([], 0, batch=True)
        self._parts: list[bytes] = []
        self._packing: deque[tuple[Unit, Packed | Future[Packed]]] = deque()

    def put(self, load: Load, answer: Callable[[], list[Worked]]) -> None:
        """Take over the chunks of one load: the new ones are written, the others only noted."""
        plain, stored, at = load.block.plain, load.block.stored, 0
        for node, piece, (key, checksum, size, compressed) in zip(load.nodes, load.pieces, answer(), strict=True):
            _, _, start, length, small = piece
            row = self._row_of.get(key, -1)
            if row < 0 and self._dictionary is not None:
                row = self._row_of[key] = _from_dictionary(self.chunks, self._dictionary, key, length)
            if row >= 0:
                self.chunks.duplicates += 1
            else:
                row = self._row_of[key] = self._append(key, checksum, length)
                content = stored[at : at + size] if size > 0 else plain[start : start + length]
                self._store(row, length, small, (content, compressed))
            node.chunks.append(row)
            at += max(size, 0)

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

    def _store(self, row: int, length: int, small: bool, packed: Packed) -> None:
        """Small chunks go together, until they would reach a batch or a large one comes."""
        batch = self._batch
        if batch.rows and (not small or batch.plain_size + length >= self._recipe.batch_size):
            self._end_batch()
            batch = self._batch
        if small:
            batch.rows.append(row)
            batch.plain_size += length
            self._parts.append(bytes(packed[0]))
        else:
            self._packing.append((Unit([row], length, batch=False), packed))
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
