"""The digests up a v5 tree: of a file's chunks, of a link's target, of a directory's children.

Source: nydus ``rafs/src/metadata/layout/v5.rs`` (`rafsv5_validate_inode`).
"""

from __future__ import annotations

import stat

import numpy as np
import numpy.typing as npt

from storage.codec import Digester, digest, digest_all
from storage.errors import IntegrityError
from storage.image import v5
from storage.image._inodes import is_kind
from storage.image._open import Bootstrap

__all__ = ["check_inode_digests"]

_SIZE = 32
Hashed = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Inode rows, bytes, and where in them each inode's begin and end."""


def check_inode_digests(bootstrap: Bootstrap) -> int:
    """Check the digest of every inode, and with the root's that all of the tree is what was built.

    A directory's digest is that of its children's, as they tell them, and theirs are checked as
    well; so nothing is walked, and each inode is hashed once. What is behind the digests of
    chunks, their bytes, is verified when they are read.

    Returns
    -------
    int
        How many digests there were; v6 images have none.

    Raises
    ------
    IntegrityError
        If an inode's digest is another; names its path.
    """
    told = bootstrap.inode_digests
    if not isinstance(bootstrap.block, v5.SuperBlock):
        return 0
    found = _digests(bootstrap, bootstrap.block.digester)
    wrong = np.flatnonzero((found != told).any(axis=1))
    if len(wrong):
        # With an inode its parent is wrong, which comes before it.
        path = bootstrap.image().path_of(int(wrong[-1]))
        raise IntegrityError("an inode is not what its digest says", path=path)
    return len(told)


def _digests(bootstrap: Bootstrap, digester: Digester) -> npt.NDArray[np.uint8]:
    """What each inode's digest should be; that of nothing, where there is nothing to hash."""
    found = np.empty((len(bootstrap.inodes), _SIZE), np.uint8)
    found[:] = np.frombuffer(digest(digester, b""), np.uint8)
    for rows, content, start, end in (_children(bootstrap), _chunks(bootstrap), _targets(bootstrap)):
        view = content.reshape(-1).data
        parts = (view[begin:stop] for begin, stop in zip(start.tolist(), end.tolist(), strict=True))
        found[rows] = np.frombuffer(digest_all(digester, parts), np.uint8).reshape(-1, _SIZE)
    return found


def _children(bootstrap: Bootstrap) -> Hashed:
    """Directories, and their children's digests."""
    entries = bootstrap.entries
    rows = np.unique(entries.parent).astype(np.int64)
    start, end = (np.searchsorted(entries.parent, rows, side) for side in ("left", "right"))
    return rows, bootstrap.inode_digests[entries.inode], start * _SIZE, end * _SIZE


def _chunks(bootstrap: Bootstrap) -> Hashed:
    """Files, and their chunks' digests."""
    inodes = bootstrap.inodes
    rows = np.flatnonzero(inodes.extents > 0)
    start = inodes.first_extent[rows]
    digests = bootstrap.image().chunks.digest[bootstrap.extents.chunk]
    return rows, digests, start * _SIZE, (start + inodes.extents[rows]) * _SIZE


def _targets(bootstrap: Bootstrap) -> Hashed:
    """Symbolic links, and their targets."""
    inodes = bootstrap.inodes
    rows = np.flatnonzero(is_kind(inodes.mode, stat.S_IFLNK))
    start = inodes.data_offset[rows]
    return rows, bootstrap.data, start, start + inodes.size[rows]
