"""From stored bytes to chunks: decrypted, decompressed, cut out of their unit, verified.

A *unit* is what is stored as one and decoded as one: a chunk of its own, a batch of small
chunks, or a piece of a gzip stream. Whoever has fetched a range of a blob opens it here and
asks for its chunks one by one; each unit is decoded once.

Source: nydus ``storage/src/cache/mod.rs`` (`ChunkDecompressState`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from storage.codec import Compressor, buffer, crc32c, decompress_into, decrypt, digest, inflate_piece
from storage.errors import FormatError, IntegrityError, StorageError
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import BATCH, PLAIN, ZRAN, Chunks

__all__ = ["Decoder", "Fetched"]


class Decoder:
    """Knows how the chunks of an image are stored. Any number of threads may use one.

    Parameters
    ----------
    infos, chunks
        The image's blobs and its chunk table.
    """

    def __init__(self, infos: Sequence[BlobInfo], chunks: Chunks) -> None:
        self.infos = infos
        self.chunks = chunks
        self.start = chunks.compressed_offset.data
        self.stored = chunks.compressed_size.data
        self.unit = chunks.unit.data

    def open(self, blob: int, base: int, data: memoryview) -> Fetched:
        """Bytes of a blob from offset `base` on, as chunks."""
        return Fetched(self, self.infos[blob], base, data)

    def plain(self, info: BlobInfo, row: int, stored: memoryview) -> memoryview:
        """The uncompressed bytes of the unit that a chunk is in; valid until the next call in this thread.

        Raises
        ------
        IntegrityError
            If it cannot be decoded.
        """
        decode = _DECODERS[int(self.chunks.kind[row])]
        try:
            if self.chunks.encrypted[row]:
                stored = memoryview(decrypt(info.cipher, info.cipher_key, info.cipher_iv, stored))
            return decode(info, self.chunks, row, stored)
        except FormatError as error:
            raise IntegrityError(error.message, **self.where(info, row)) from error

    def verify(self, info: BlobInfo, row: int, plain: memoryview) -> None:
        """Check a chunk's bytes against all that is known of it: its CRC32C and its digest.

        Raises
        ------
        IntegrityError
            If they are not what the image says.
        """
        chunks = self.chunks
        if chunks.has_crc32c[row] and crc32c(plain) != chunks.crc32c[row]:
            raise IntegrityError("a chunk is not what its CRC32C says", **self.where(info, row))
        if chunks.has_digest[row] and digest(info.digester, plain) != chunks.digest[row].tobytes():
            raise IntegrityError("a chunk is not what its digest says", **self.where(info, row))

    def where(self, info: BlobInfo, row: int) -> dict[str, object]:
        """What an error says of a chunk."""
        return {"blob": info.blob_id, "chunk": int(self.chunks.index[row]), "offset": self.start[row]}


class Fetched:
    """A range of a blob, fetched. To be asked for chunks in ascending order, by one thread."""

    __slots__ = ("_base", "_data", "_decoder", "_info", "_plain", "_unit", "_verified")

    def __init__(self, decoder: Decoder, info: BlobInfo, base: int, data: memoryview) -> None:
        self._decoder = decoder
        self._info = info
        self._base = base
        self._data = data
        self._unit = self._verified = -1
        self._plain: memoryview | StorageError = data

    def chunk(self, row: int) -> memoryview:
        """A chunk's bytes, verified; valid until the next call in this thread.

        Raises
        ------
        IntegrityError
            If they are not what the image says.
        """
        decoder = self._decoder
        unit = decoder.unit[row]
        if unit != self._unit:
            self._unit = unit
            self._plain = self._decode(row)
        if isinstance(self._plain, StorageError):
            raise self._plain
        first, size = int(decoder.chunks.unit_offset[row]), int(decoder.chunks.uncompressed_size[row])
        plain = self._plain[first : first + size]
        if row != self._verified:
            decoder.verify(self._info, row, plain)
            self._verified = row
        return plain

    def _decode(self, row: int) -> memoryview | StorageError:
        decoder = self._decoder
        start = decoder.start[row] - self._base
        try:
            return decoder.plain(self._info, row, self._data[start : start + decoder.stored[row]])
        except StorageError as error:
            return error  # for every chunk of the unit


def _decode_alone(info: BlobInfo, chunks: Chunks, row: int, stored: memoryview) -> memoryview:
    if chunks.compressed[row]:
        return _decompressed(info, stored, int(chunks.uncompressed_size[row]))
    if len(stored) != chunks.uncompressed_size[row]:
        raise FormatError(f"{len(stored)} bytes where there should be {chunks.uncompressed_size[row]}")
    return stored


def _decode_batch(info: BlobInfo, chunks: Chunks, row: int, stored: memoryview) -> memoryview:
    # What is as long as its content was not compressed: a flag says so for no batch.
    size = int(chunks.unit_size[row])
    return stored if len(stored) == size else _decompressed(info, stored, size)


def _decode_piece(info: BlobInfo, chunks: Chunks, row: int, stored: memoryview) -> memoryview:
    plain = buffer("decoded", int(chunks.unit_size[row]))
    inflate_piece(chunks.inflate[int(chunks.unit[row])], stored, plain)
    return plain


def _decompressed(info: BlobInfo, stored: memoryview, size: int) -> memoryview:
    plain = buffer("decoded", size)
    if info.compressor is Compressor.GZIP and not info.has_feature(BlobFeatures.CHUNK_INFO_V2):
        _inflate_stargz(stored, plain)
        return plain
    decompress_into(info.compressor, stored, plain)
    return plain


def _inflate_stargz(stored: memoryview, plain: memoryview) -> None:
    """Fill `plain` from a gzip member; a legacy stargz chunk has padding behind it, and no known end."""
    try:
        data = zlib.decompressobj(wbits=31).decompress(stored, len(plain))
    except zlib.error as error:
        raise FormatError(f"corrupt gzip data: {error}") from error
    if len(data) != len(plain):
        raise FormatError(f"gzip data of {len(data)} bytes where there should be {len(plain)}")
    plain[:] = data


_DECODERS: dict[int, Callable[[BlobInfo, Chunks, int, memoryview], memoryview]] = {
    PLAIN: _decode_alone,
    BATCH: _decode_batch,
    ZRAN: _decode_piece,
}
