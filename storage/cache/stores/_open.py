"""Which kind of cache file, and which chunk map, a blob has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.cache._kind import CacheKind
from storage.cache.maps import ChunkMap, DigestedChunkMap, IndexedChunkMap, NoopChunkMap, RangeMap
from storage.cache.stores._base import BlobFile, Source
from storage.cache.stores._encrypted import EncryptedFile
from storage.cache.stores._plain import PlainFile
from storage.cache.stores._raw import RawFile
from storage.cache.stores._tar import TarFile
from storage.image.blob_info import BlobFeatures, BlobInfo

__all__ = ["open_blob_file"]


def open_blob_file(folder: Path, source: Source, kind: CacheKind) -> BlobFile:
    """The cache file of a blob, in the form that is asked for.

    The tar of a tarfs image that lies in the folder already is taken for what it is.

    Raises
    ------
    CacheError
        If one of its files is foreign, broken, or cannot be opened.
    UnsupportedError
        If the blob cannot be kept in that form.
    """
    info, rows = source.info, source.rows
    if info.has_feature(BlobFeatures.TARFS) and (folder / info.blob_id).is_file():
        return TarFile(folder / info.blob_id, info.uncompressed_size, source, NoopChunkMap(len(rows), cached=True))
    data = folder / f"{info.blob_id}.blob.data"
    chunk_map = _open_map(data, source, kind)
    if kind.compressed:
        return RawFile(folder / f"{info.blob_id}.blob.raw", info.compressed_data_size, source, chunk_map)
    if kind.cipher is not None:
        return EncryptedFile(data, info.uncompressed_size, source, chunk_map, kind.cipher)
    return PlainFile(data, info.uncompressed_size, source, chunk_map)


def _open_map(data: Path, source: Source, kind: CacheKind) -> ChunkMap:
    part = slice(source.rows.start, source.rows.stop)
    chosen = kind.chunk_map or _default(source.info, kind)
    if chosen == "digested":
        places = np.asarray(source.layout.offset[part])
        return DigestedChunkMap(source.decoder.chunks.digest[part], places, source.digests)
    if chosen == "range":
        return RangeMap(
            data, np.asarray(source.layout.offset[part]), np.asarray(source.layout.size[part]), source.writable
        )
    return IndexedChunkMap(data, len(source.rows), source.writable)


def _default(info: BlobInfo, kind: CacheKind) -> str:
    unnumbered = info.has_feature(BlobFeatures.V5_NO_EXT_BLOB_TABLE)
    return "digested" if unnumbered or (kind.disable_indexed_map and not info.has_blob_meta) else "indexed"
