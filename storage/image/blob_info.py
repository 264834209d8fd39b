"""What the store knows of one blob: upstream's `BlobInfo` and `BlobFeatures`.

Source: nydus ``storage/src/device.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag

from storage.codec import Cipher, Compressor, Digester

__all__ = ["BlobFeatures", "BlobInfo"]

_TAR_HEADER = 0x200


class BlobFeatures(IntFlag):
    """Feature bits of a blob. The low 16 are incompatible: unknown ones are refused."""

    ALIGNED = 0x0000_0001
    INLINED_FS_META = 0x0000_0002
    CHUNK_INFO_V2 = 0x0000_0004
    ZRAN = 0x0000_0008
    SEPARATE = 0x0000_0010
    INLINED_CHUNK_DIGEST = 0x0000_0020
    TARFS = 0x0000_0040
    BATCH = 0x0000_0080
    ENCRYPTED = 0x0000_0100
    IS_CHUNKDICT_GENERATED = 0x0000_0200
    IS_SEPARATED_WITH_PREFETCH_FILES = 0x0000_0400
    EXTERNAL = 0x0000_0800
    HAS_TAR_HEADER = 0x1000_0000
    HAS_TOC = 0x2000_0000
    CAP_TAR_TOC = 0x4000_0000
    V5_NO_EXT_BLOB_TABLE = 0x8000_0000


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One blob of an image.

    Attributes
    ----------
    blob_index
        Position in the image's blob table.
    blob_id
        Name in the backend, a SHA-256 in hex as a rule.
    features
        See `BlobFeatures`.
    compressed_size
        Bytes of the blob in the backend, as the blob table says.
    uncompressed_size
        Bytes of the uncompressed blob, which is the size of the cache file.
    chunk_size, chunk_count
        Largest chunk in bytes, and the number of chunks.
    compressor, digester
        How chunks are compressed and named.
    meta_ci_compressor, meta_ci_offset, meta_ci_compressed_size, meta_ci_uncompressed_size
        Where in the blob the chunk information array lies; its header of 4096 bytes follows it.
    prefetch_offset, prefetch_size
        Compressed range that the image wants read ahead; size 0 for none.
    cipher, cipher_key, cipher_iv
        How chunks and ``blob.meta`` are encrypted; the key stands in the blob table.
    toc_size, toc_digest
        Bytes of the table of contents at the end of the blob, 0 for none, and its SHA-256.
    meta_size, meta_blob_id
        Bytes and name of the blob that holds ``blob.meta``, where that is one of its own.
    """

    blob_index: int
    blob_id: str
    features: BlobFeatures
    compressed_size: int
    uncompressed_size: int
    chunk_size: int
    chunk_count: int
    compressor: Compressor
    digester: Digester
    meta_ci_compressor: Compressor
    meta_ci_offset: int
    meta_ci_compressed_size: int
    meta_ci_uncompressed_size: int
    prefetch_offset: int = 0
    prefetch_size: int = 0
    cipher: Cipher = Cipher.NONE
    cipher_key: bytes = field(default=b"", repr=False)
    cipher_iv: bytes = field(default=b"", repr=False)
    toc_size: int = 0
    toc_digest: bytes = field(default=b"", repr=False)
    meta_size: int = 0
    meta_blob_id: str = ""

    @property
    def blob_meta_id(self) -> str:
        """Name of the blob that holds ``blob.meta``: as a rule the blob itself."""
        return self.meta_blob_id or self.blob_id

    @property
    def has_blob_meta(self) -> bool:
        """Whether there is chunk information for it: not in v5, and not for tars."""
        return self.meta_ci_compressed_size != 0 and self.meta_ci_uncompressed_size != 0

    @property
    def compressed_data_size(self) -> int:
        """Bytes of chunks in the blob, without what follows them; the size of a raw cache file."""
        if self.has_feature(BlobFeatures.SEPARATE) or not self.has_feature(BlobFeatures.CAP_TAR_TOC):
            return self.compressed_size
        end = self.meta_ci_offset if self.has_blob_meta else self.compressed_size
        return end - _TAR_HEADER if self.has_feature(BlobFeatures.HAS_TAR_HEADER) else end

    def has_feature(self, feature: BlobFeatures) -> bool:
        """Whether all bits of `feature` are set."""
        return self.features & feature == feature

    @property
    def is_told_by_bootstrap(self) -> bool:
        """Whether its chunks are those that the bootstrap knows: those of an external blob without ``blob.meta``."""
        return self.has_feature(BlobFeatures.EXTERNAL) and not self.has_blob_meta
