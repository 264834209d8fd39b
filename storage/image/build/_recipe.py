"""How a blob is to be written."""

from __future__ import annotations

from dataclasses import dataclass

from storage.codec import Cipher, Compressor, Digester
from storage.errors import ConfigError
from storage.image._ondisk import BLOCK_SIZE, MAX_CHUNK_SIZE
from storage.image.blob_info import BlobFeatures

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Options of a blob.

    Attributes
    ----------
    compressor, digester, chunk_size
        How chunks are made.
    aligned
        Whether chunks begin at multiples of 4096 in the uncompressed blob.
    batch_size
        Small files are compressed together until their bytes would reach this; 0 for each alone.
    cipher, key, iv
        How it is encrypted.
    inline
        Whether the bootstrap goes to the end of the blob.
    toc
        Whether digests of chunks and a table of contents go into the blob.

    Raises
    ------
    ConfigError
        If a size is out of range, or options do not go together.
    """

    compressor: Compressor
    digester: Digester
    chunk_size: int
    aligned: bool = True
    batch_size: int = 0
    cipher: Cipher = Cipher.NONE
    key: bytes = b""
    iv: bytes = b""
    inline: bool = False
    toc: bool = False

    def __post_init__(self) -> None:
        size, batch = self.chunk_size, self.batch_size
        if size & (size - 1) or not BLOCK_SIZE <= size <= MAX_CHUNK_SIZE:
            raise ConfigError(f"a chunk size of {size} is none: powers of two from 4 KiB to 16 MiB are")
        if batch and (batch & (batch - 1) or not BLOCK_SIZE <= batch <= MAX_CHUNK_SIZE):
            raise ConfigError(f"a batch size of {batch} is none: 0 and powers of two from 4 KiB to 16 MiB are")
        if self.toc and self.compressor is Compressor.GZIP:
            raise ConfigError("a table of contents cannot speak of gzip", field="toc")

    @property
    def features(self) -> BlobFeatures:
        """What the blob says of itself."""
        features = BlobFeatures.ALIGNED | BlobFeatures.CAP_TAR_TOC
        if self.batch_size:
            features |= BlobFeatures.CHUNK_INFO_V2 | BlobFeatures.BATCH
        if self.cipher is not Cipher.NONE:
            features |= BlobFeatures.CHUNK_INFO_V2 | BlobFeatures.ENCRYPTED
        if self.inline:
            features |= BlobFeatures.INLINED_FS_META | BlobFeatures.HAS_TAR_HEADER
        if self.toc:
            features |= BlobFeatures.HAS_TOC | BlobFeatures.HAS_TAR_HEADER | BlobFeatures.INLINED_CHUNK_DIGEST
        return features
