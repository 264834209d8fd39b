"""Chunks that other images have: what they hold need not be written again.

Source: nydus ``builder/src/core/chunk_dict.rs``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.codec import Compressor, Digester
from storage.errors import ConfigError
from storage.image._open import open_bootstrap
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.build._chunk_list import OWN, ChunkList

__all__ = ["ChunkDict", "used_infos"]


class ChunkDict:
    """The chunks that a bootstrap uses, by digest.

    Parameters
    ----------
    bootstrap
        Of an image of either version.

    Raises
    ------
    FormatError
        If it cannot be read.
    """

    def __init__(self, bootstrap: str | Path) -> None:
        opened = open_bootstrap(bootstrap)
        self.path = bootstrap
        self.version = opened.version
        self.records = opened.records
        self.infos = tuple(_beside(info) for info in opened.infos)
        digests = np.ascontiguousarray(self.records["digest"]).view("V32").reshape(-1)
        self._at = {digest.tobytes(): at for at, digest in reversed(list(enumerate(digests)))}

    def find(self, digest: bytes, size: int) -> np.void | None:
        """The record of a chunk with that digest and size, if there is one."""
        at = self._at.get(digest, -1)
        if at < 0 or int(self.records["uncompressed_size"][at]) != size:
            return None
        record: np.void = self.records[at]
        return record

    def check(self, version: int, compressor: Compressor, digester: Digester, chunk_size: int) -> None:
        """Raise `ConfigError` if an image of these options cannot use it."""
        if self.version != version:
            raise ConfigError(f"the chunk dict is of v{self.version}", path=self.path)
        for info in self.infos:
            if info.digester is not digester:
                raise ConfigError(f"the chunk dict names chunks by {info.digester}, not {digester}", path=self.path)
            if info.chunk_size != chunk_size:
                raise ConfigError(f"the chunk dict has chunks of {info.chunk_size} bytes", path=self.path)
            if version == 5 and info.compressor is not compressor:
                message = f"the chunk dict's are compressed by {info.compressor}, and v5 has one compressor for all"
                raise ConfigError(message, path=self.path)


def used_infos(chunks: ChunkList, own: BlobInfo | None, dictionary: ChunkDict | None) -> list[BlobInfo]:
    """The blobs of an image, in the order of their first use: the one that was written, and the dictionary's."""
    infos = []
    for number, blob in enumerate(chunks.blobs):
        info = own if blob == OWN else dictionary.infos[blob] if dictionary else None
        assert info is not None
        infos.append(replace(info, blob_index=number))
    return infos


_OF_ITS_BOOTSTRAP = BlobFeatures.INLINED_FS_META | BlobFeatures.V5_NO_EXT_BLOB_TABLE


def _beside(info: BlobInfo) -> BlobInfo:
    """A blob as other images know it: how the dictionary told of it is not said."""
    return replace(info, features=info.features & ~_OF_ITS_BOOTSTRAP)
