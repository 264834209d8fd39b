"""What an image is made of, in numbers: upstream's ``nydus-image stat``.

Source: nydus ``src/bin/nydus-image/stat.rs``.
"""

from __future__ import annotations

import stat
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.image._image import Image
from storage.image._inodes import is_kind
from storage.image._ondisk import BLOCK_SIZE

__all__ = ["Statistics", "statistics"]

I64 = npt.NDArray[np.int64]
_CHUNK_BITS = np.arange(12, 21)
_SIZE_CLASSES = 45


@dataclass(frozen=True)
class Statistics:
    """An image in numbers, by upstream's names; sizes in bytes.

    Attributes
    ----------
    dirs, files, symlinks
        Names of each kind: a hard link counts again.
    chunks, file_size, comp_size
        Of all files, each once; a chunk counts as often as it is used.
    uncomp_size, padding_size
        Bytes of those chunks with what fills up the last block of each file, and that filling alone.
    chunk_sizes
        How many chunks there would be if they were of 4 KiB, 8 KiB, … 1 MiB.
    file_sizes
        Files by the number of bits of their size.
    own_chunks, own_comp_size, own_uncomp_size
        Distinct chunks that the base does not have.
    ref_chunks, ref_comp_size, ref_uncomp_size
        Distinct chunks that the base has.
    """

    dirs: int
    files: int
    symlinks: int
    chunks: int
    file_size: int
    comp_size: int
    uncomp_size: int
    padding_size: int
    chunk_sizes: tuple[int, ...]
    file_sizes: tuple[int, ...]
    own_chunks: int
    own_comp_size: int
    own_uncomp_size: int
    ref_chunks: int = 0
    ref_comp_size: int = 0
    ref_uncomp_size: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self) | {"chunk_sizes": list(self.chunk_sizes), "file_sizes": list(self.file_sizes)}

    def _repr_html_(self) -> str:
        rows = ((key, f"{value:,}") for key, value in asdict(self).items() if isinstance(value, int))
        return f"<table>{''.join(f'<tr><th>{key}</th><td>{value}</td></tr>' for key, value in rows)}</table>"


def statistics(image: Image, base: Image | None = None) -> Statistics:
    """Count what an image is made of.

    Parameters
    ----------
    base
        An image whose chunks are there already: of those of `image`, which would be reused?
    """
    inodes, entries, extents, chunks = image.inodes, image.entries, image.extents, image.chunks
    kinds = inodes.mode[entries.inode]
    size = inodes.size[is_kind(inodes.mode, stat.S_IFREG)]
    padding = int((-size % BLOCK_SIZE).sum())
    distinct, rows = _distinct(image)
    known = np.isin(distinct, _distinct(base)[0]) if base is not None else np.zeros(len(rows), np.bool_)
    own, reused = rows[~known], rows[known]
    stored = chunks.own_size  # the reference counts no batch
    bits = np.minimum(np.frexp(size.astype(np.float64))[1], _SIZE_CLASSES - 1)
    return Statistics(
        dirs=1 + int(is_kind(kinds, stat.S_IFDIR).sum()),
        files=int(is_kind(kinds, stat.S_IFREG).sum()),
        symlinks=int(is_kind(kinds, stat.S_IFLNK).sum()),
        chunks=len(extents),
        file_size=int(size.sum()),
        comp_size=int(stored[extents.chunk].sum()),
        uncomp_size=int(chunks.uncompressed_size[extents.chunk].sum()) + padding,
        padding_size=padding,
        chunk_sizes=tuple(int((-(-size // (1 << bit))).sum()) for bit in _CHUNK_BITS.tolist()),
        file_sizes=tuple(np.bincount(bits, minlength=_SIZE_CLASSES).tolist()),
        own_chunks=len(own),
        own_comp_size=int(stored[own].sum()),
        own_uncomp_size=int(chunks.uncompressed_size[own].sum()),
        ref_chunks=len(reused),
        ref_comp_size=int(stored[reused].sum()),
        ref_uncomp_size=int(chunks.uncompressed_size[reused].sum()),
    )


def _distinct(image: Image) -> tuple[np.ndarray, I64]:
    """The digests of chunks that files use, each once, and the first chunk row of each."""
    used = image.extents.chunk
    digests = np.ascontiguousarray(image.chunks.digest[used]).view("V32").reshape(-1)
    distinct, first = np.unique(digests, return_index=True)
    return distinct, used[first]
