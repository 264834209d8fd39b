"""The chunks of several bootstraps as one list, for a new bootstrap over the same blobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError
from storage.image._ondisk import CHUNK_RECORD
from storage.image._open import Bootstrap
from storage.image.blob_info import BlobInfo
from storage.image.build._chunk_list import ChunkList

__all__ = ["Gathered", "chunk_list", "in_order_of_use"]

I64 = npt.NDArray[np.int64]


class Gathered:
    """All blobs of some bootstraps, each once, and their chunks: blob after blob, by index.

    Attributes
    ----------
    infos
        The blobs, in order of appearance.
    records
        The chunk table's record of each chunk; of zeros where no bootstrap has one.

    Raises
    ------
    FormatError
        If two bootstraps tell a blob differently.
    """

    def __init__(self, layers: Sequence[Bootstrap]) -> None:
        self.infos: list[BlobInfo] = []
        index_of: dict[str, int] = {}
        self._layers = layers
        self._blobs: list[list[int]] = []
        for layer in layers:
            for info in layer.infos:
                if info.blob_id not in index_of:
                    index_of[info.blob_id] = len(self.infos)
                    self.infos.append(info)
                elif self.infos[index_of[info.blob_id]].chunk_count != info.chunk_count:
                    raise FormatError("two layers have blobs of this name that differ", blob=info.blob_id)
            self._blobs.append([index_of[info.blob_id] for info in layer.infos])
        counts = np.array([info.chunk_count for info in self.infos], np.int64)
        self._first = np.cumsum(counts) - counts
        self.records = np.zeros(int(counts.sum()), CHUNK_RECORD)
        for number, layer in enumerate(layers):
            blob, index = layer.records["blob_index"].astype(np.int64), layer.records["index"].astype(np.int64)
            rows = self._firsts(number)[blob] + index if len(blob) else np.zeros(0, np.int64)
            self.records[rows] = layer.records
        self.blob = np.repeat(np.arange(len(self.infos)), counts)

    def _firsts(self, number: int) -> I64:
        return self._first[np.array(self._blobs[number], np.int64)]

    def rows_of(self, number: int) -> I64:
        """Where in the list each chunk of a bootstrap's chunk table is."""
        blobs = self._layers[number].blobs
        at = np.arange(int(blobs.chunk_count.sum())) - np.repeat(blobs.first_chunk, blobs.chunk_count)
        rows: I64 = np.repeat(self._firsts(number), blobs.chunk_count) + at if len(blobs) else at
        return rows


def in_order_of_use(gathered: Gathered, rows: Iterable[int]) -> list[int]:
    """Blobs of these chunks, each once, in order of appearance; the others are no longer needed."""
    blob = gathered.blob.tolist()
    return list(dict.fromkeys(blob[row] for row in rows))


def chunk_list(gathered: Gathered, order: Sequence[int]) -> ChunkList:
    """All chunks as a builder's list, for a blob table in `order`; other blobs' chunks are of blob -1."""
    place = np.full(len(gathered.infos) + 1, -1)
    place[list(order)] = np.arange(len(order))
    records = gathered.records
    return ChunkList(
        blob=place[gathered.blob].tolist(),
        index=records["index"].tolist(),
        digest=[digest.tobytes() for digest in records["digest"]],
        crc32c=records["crc32"].tolist(),
        flags=records["flags"].tolist(),
        compressed_offset=records["compressed_offset"].tolist(),
        compressed_size=records["compressed_size"].tolist(),
        uncompressed_offset=records["uncompressed_offset"].tolist(),
        uncompressed_size=records["uncompressed_size"].tolist(),
    )
