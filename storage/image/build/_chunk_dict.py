"""Chunks that other images have: what they hold need not be written again.

Source: nydus ``builder/src/core/chunk_dict.rs``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.codec import Digester
from storage.errors import ConfigError
from storage.image._open import open_bootstrap
from storage.image.blob_info import BlobFeatures, BlobInfo

__all__ = ["ChunkDict"]


class ChunkDict:
    """The chunks that a bootstrap uses, by digest.

    Parameters
    ----------
    bootstrap
        Of a RAFS v6 image.

    Raises
    ------
    FormatError
        If it cannot be read.
    """

    def __init__(self, bootstrap: str | Path) -> None:
        opened = open_bootstrap(bootstrap)
        self.path = bootstrap
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

    def check(self, digester: Digester, chunk_size: int) -> None:
        """Raise `ConfigError` if an image of these options cannot use it."""
        for info in self.infos:
            if info.digester is not digester:
                raise ConfigError(f"the chunk dict names chunks by {info.digester}, not {digester}", path=self.path)
            if info.chunk_size != chunk_size:
                raise ConfigError(f"the chunk dict has chunks of {info.chunk_size} bytes", path=self.path)


def _beside(info: BlobInfo) -> BlobInfo:
    """A blob as other images know it: it is not said that its own bootstrap is in it."""
    return replace(info, features=info.features & ~BlobFeatures.INLINED_FS_META)
