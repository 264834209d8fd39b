"""Chunks that go to a new blob, and those that stay where they are.

Chunks are taken over as they are stored where the new blob is stored alike; those of batches and
of gzip layers are decoded and compressed alone, so that they stay readable. All are verified.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from storage.codec import crc32c
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._ondisk import BLOCK_SIZE, CHUNK_HAS_CRC32, CHUNK_IS_COMPRESSED, RECORD_IS_ENCRYPTED
from storage.image._open import Bootstrap
from storage.image.blob_info import BlobInfo
from storage.image.build._chunk_list import OWN, ChunkList, Unit
from storage.image.build._recipe import Recipe
from storage.image.build._sink import Sink
from storage.image.build._work import pack
from storage.image.tables import PLAIN
from storage.image.verbs._chunk_lists import Gathered

__all__ = ["keep_others", "move_chunks", "recipe_like"]

I64 = npt.NDArray[np.int64]


def keep_others(bootstrap: Bootstrap, image: Image, moved: I64) -> tuple[I64, ChunkList]:
    """A list of the chunks that stay where they are, in the order of the files, and where in it each is."""
    rows = np.full(len(image.chunks), -1, np.int64)
    records = Gathered([bootstrap]).records
    stays = np.ones(len(image.chunks), np.bool_)
    stays[moved] = False
    chunks = ChunkList()
    used, first = np.unique(image.extents.chunk, return_index=True)
    for row in used[np.argsort(first)].tolist():
        if stays[row]:
            record = records[row]
            rows[row] = chunks.append(
                int(image.chunks.blob[row]),
                record["digest"].tobytes(),
                crc32c=int(record["crc32"]),
                **{name: int(record[name]) for name in _FIELDS},
            )
    return rows, chunks


_FIELDS = ("index", "flags", "compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size")


def recipe_like(info: BlobInfo) -> Recipe:
    """How a blob like this one is written, without batches."""
    return Recipe(
        compressor=info.compressor,
        digester=info.digester,
        chunk_size=info.chunk_size,
        cipher=info.cipher,
        key=info.cipher_key,
        iv=info.cipher_iv,
    )


def move_chunks(
    image: Image,
    reader: ChunkReader,
    moved: Iterable[int],
    recipe: Recipe,
    rows: I64,
    chunks: ChunkList,
    out: Sink,
) -> None:
    """Write chunks to the new blob, and add them to the list; those of the same digest once."""
    place, index, row_of = 0, 0, dict[bytes, int]()
    for row in moved:
        key = image.chunks.digest[row].tobytes()
        if key in row_of:
            rows[row] = row_of[key]
            continue
        plain = bytes(reader.read(row))
        stored, flags = _stored(image, reader, row, recipe, plain)
        unit = Unit([len(chunks)], len(plain), batch=False, offset=out.size, size=len(stored))
        rows[row] = row_of[key] = chunks.append(
            OWN,
            key,
            index=index,
            flags=flags,
            crc32c=crc32c(plain),
            compressed_offset=out.size,
            compressed_size=len(stored),
            uncompressed_offset=place,
            uncompressed_size=len(plain),
        )
        chunks.units.append(unit)
        out.write(stored)
        place, index = -(-(place + len(plain)) // BLOCK_SIZE) * BLOCK_SIZE, index + 1


def _stored(
    image: Image, reader: ChunkReader, row: int, recipe: Recipe, plain: bytes
) -> tuple[bytes | memoryview, int]:
    """A chunk as the new blob has it, and its flags."""
    columns = image.chunks
    info = image.infos[int(columns.blob[row])]
    flags = CHUNK_HAS_CRC32 | (RECORD_IS_ENCRYPTED if recipe.cipher else 0)
    if columns.kind[row] == PLAIN and recipe_like(info) == recipe:
        offset, size = int(columns.compressed_offset[row]), int(columns.compressed_size[row])
        stored = bytes(reader.stored(int(columns.blob[row]), offset, size))
        return stored, flags | (CHUNK_IS_COMPRESSED if columns.compressed[row] else 0)
    packed, compressed = pack(recipe, plain)
    return packed, flags | (CHUNK_IS_COMPRESSED if compressed else 0)
