"""From a bootstrap to an image: parsing, and joining with the blobs' ``blob.meta``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError, StorageError
from storage.image import v5
from storage.image._chunks import blob_rows, check_meta, chunk_table, metas_of_records
from storage.image._contents import chunk_digests, file_range
from storage.image._external import numbered_by_place
from storage.image._image import Image
from storage.image._inodes import read_extents
from storage.image._locate import Located, locate
from storage.image._meta import BlobMeta, blob_meta_span, read_blob_meta
from storage.image._ondisk import BLOCK_SIZE, CHUNK_RECORD, TAR_BLOCK_SIZE
from storage.image._source import BlobSource
from storage.image._super import SuperBlock, read_blob_table, read_super_block, table_at
from storage.image._tarfs import tarfs_chunks
from storage.image._tree import read_tree
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import Blobs, Chunks, Entries, Extents, Inodes

__all__ = ["Bootstrap", "open_bootstrap", "open_image", "read_meta_of"]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A parsed bootstrap: all but the chunks, which take the blobs' ``blob.meta``.

    Attributes
    ----------
    inode_digests : (inodes, 32) uint8
        What each inode of a v5 image says is the digest of its content; of v6 there are none.
    """

    block: SuperBlock | v5.SuperBlock
    infos: tuple[BlobInfo, ...]
    blobs: Blobs
    inodes: Inodes
    entries: Entries
    extents: Extents
    records: np.ndarray = field(repr=False)
    prefetch: npt.NDArray[np.int32]
    data: npt.NDArray[np.uint8] = field(repr=False)
    inode_digests: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 32), np.uint8), repr=False)

    @property
    def has_blob_meta(self) -> bool:
        """Whether its blobs have a ``blob.meta``."""
        return self.version == 6 and not self.is_tarfs

    @property
    def version(self) -> int:
        """Of RAFS: 5 or 6."""
        return 5 if isinstance(self.block, v5.SuperBlock) else 6

    @property
    def is_tarfs(self) -> bool:
        """Whether its blobs are tars."""
        return self.block_size == TAR_BLOCK_SIZE

    @property
    def block_size(self) -> int:
        """Of EROFS, in bytes."""
        return self.block.block_size if isinstance(self.block, SuperBlock) else BLOCK_SIZE

    def with_blob_meta(self, known: Sequence[BlobMeta | None]) -> Image:
        """The image, given the ``blob.meta`` of each blob; None for one that has none.

        Raises
        ------
        FormatError
            If they contradict the bootstrap.
        """
        told = metas_of_records(self.infos, self.records, self.blobs) if any(meta is None for meta in known) else []
        metas = [told[at] if meta is None else meta for at, meta in enumerate(known)]
        for info, meta in zip(self.infos, metas, strict=True):
            check_meta(info, meta)
        return self._image(chunk_table(self.infos, metas, self.records, self.blobs))

    def image(self) -> Image:
        """The image as far as the bootstrap alone tells: chunks that it does not use are empty."""
        if self.is_tarfs:
            return self._image(tarfs_chunks(self.data, self.infos, self.inodes, self.extents, self.blobs))
        if self.version == 5:
            return self._image(v5.chunk_table(self.infos, self.blobs, self.records))
        return self.with_blob_meta(metas_of_records(self.infos, self.records, self.blobs))

    def _image(self, chunks: Chunks) -> Image:
        longer = self.extents.length > chunks.uncompressed_size[self.extents.chunk]
        if longer.any():
            at = int(np.flatnonzero(longer)[0])
            raise FormatError("a file has more bytes than its chunk", chunk=int(self.extents.chunk[at]))
        return Image(
            chunk_size=self.block.chunk_size,
            infos=self.infos,
            inodes=self.inodes,
            entries=self.entries,
            extents=self.extents,
            chunks=chunks,
            blobs=self.blobs,
            prefetch=self.prefetch,
            data=self.data,
            version=self.version,
            block_size=self.block_size,
        )


def open_bootstrap(source: str | Path | bytes | Located) -> Bootstrap:
    """Parse a bootstrap, in one vectorised pass over its bytes.

    Parameters
    ----------
    source
        Its path, its bytes, or what `locate` found.

    Raises
    ------
    FormatError
        If it is not a RAFS bootstrap, or is broken; names the path, and the offset or field.
    """
    if isinstance(source, (str, Path)):
        source = locate(source)
    content = source if isinstance(source, bytes) else source.bootstrap
    try:
        parsed = _parse(content)
    except StorageError as error:
        if isinstance(source, Located):
            error.where.setdefault("path", source.path)
        raise
    if isinstance(source, Located) and source.inlined:
        return replace(parsed, infos=tuple(_named_after(info, source.path.name) for info in parsed.infos))
    return parsed


def _named_after(info: BlobInfo, name: str) -> BlobInfo:
    """A blob that holds the bootstrap cannot name itself: it goes by its file's name."""
    if not info.has_feature(BlobFeatures.INLINED_FS_META):
        return info
    separate = info.has_feature(BlobFeatures.SEPARATE)
    return replace(info, meta_blob_id=name) if separate else replace(info, blob_id=name)


def _parse(content: bytes) -> Bootstrap:
    data = np.frombuffer(content, np.uint8)
    if v5.is_v5(data):
        return _parse_v5(data)
    block = read_super_block(data)
    infos = read_blob_table(data, block)
    blobs = blob_rows(infos)
    inodes, entries = read_tree(data, block)
    inodes, extents = read_extents(data, block, inodes, blobs)
    records = table_at(data, CHUNK_RECORD, block.chunk_table, "chunk_table")
    records, extents = numbered_by_place(infos, blobs, records, extents)
    if int(blobs.chunk_count.sum()) > 0 and len(extents) == 0 and block.chunk_table[1] == 0:
        raise FormatError("has blobs, but neither files nor a chunk table", field="chunk_table")
    return Bootstrap(
        block=block,
        infos=infos,
        blobs=blobs,
        inodes=inodes,
        entries=entries,
        extents=extents,
        records=records,
        prefetch=_prefetch_rows(data, block, inodes),
        data=data,
    )


def _parse_v5(data: npt.NDArray[np.uint8]) -> Bootstrap:
    parsed = v5.parse(data)
    return Bootstrap(
        block=parsed.block,
        infos=parsed.infos,
        blobs=blob_rows(parsed.infos),
        inodes=parsed.inodes,
        entries=parsed.entries,
        extents=parsed.extents,
        records=parsed.records,
        prefetch=parsed.prefetch,
        data=data,
        inode_digests=parsed.digests,
    )


def _prefetch_rows(data: np.ndarray, block: SuperBlock, inodes: Inodes) -> npt.NDArray[np.int32]:
    if block.prefetch_table[0] == 0:
        return np.zeros(0, np.int32)
    nids = table_at(data, np.dtype("<u4"), block.prefetch_table, "prefetch_table").astype(np.int64)
    order = np.argsort(inodes.nid)
    at = np.minimum(np.searchsorted(inodes.nid[order], nids), len(order) - 1)
    rows = order[at]
    return rows[inodes.nid[rows] == nids].astype(np.int32)


def open_image(path: str | Path, blobs: str | Path | BlobSource | None = None) -> Image:
    """Open an image as tables.

    The ``blob.meta`` of blobs that are at hand is read; for want of one, chunks are those
    that the bootstrap uses. Of a backend it is asked for.

    Parameters
    ----------
    path, blobs
        See `locate`.

    Raises
    ------
    FormatError
        If it is not an image that can be read.
    BackendError
        If a backend does not give what it is asked for.
    """
    located = locate(path, blobs)
    bootstrap = open_bootstrap(located)
    place = located.blobs
    try:
        if not bootstrap.has_blob_meta:
            return bootstrap.image()
        if not isinstance(place, Path):
            told = [None if info.is_told_by_bootstrap else _meta_from(info, place) for info in bootstrap.infos]
            return bootstrap.with_blob_meta(told)
        pairs = [(info, place / info.blob_meta_id) for info in bootstrap.infos]
        if not all(info.is_told_by_bootstrap or file.is_file() for info, file in pairs):
            return bootstrap.image()
        metas = [None if info.is_told_by_bootstrap else read_meta_of(info, file) for info, file in pairs]
        return bootstrap.with_blob_meta(metas)
    except StorageError as error:
        error.where.setdefault("path", located.path)
        raise


def _meta_from(info: BlobInfo, source: BlobSource) -> BlobMeta:
    offset, length = blob_meta_span(info)
    raw = memoryview(bytearray(length))
    source.get_reader(info.blob_meta_id).read_into(raw, offset)
    return read_blob_meta(raw, info)


def read_meta_of(info: BlobInfo, file: Path) -> BlobMeta:
    """The ``blob.meta`` of a blob out of the file that holds it, with digests of its chunks if it has them."""
    offset, length = blob_meta_span(info)
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            raw = stream.read(length)
    except OSError as error:
        raise FormatError(f"the blob cannot be read: {error.strerror}", path=file) from error
    if len(raw) != length:
        raise FormatError("the blob ends before its blob.meta does", path=file, offset=offset + len(raw))
    meta = read_blob_meta(raw, info)
    digests = chunk_digests(*file_range(file), info)
    return meta if digests is None else replace(meta, digests=digests)
