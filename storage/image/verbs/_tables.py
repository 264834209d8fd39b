"""What can be wrong with an image's tables, found without reading a chunk: pure decisions over columns."""

from __future__ import annotations

import stat
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from storage.errors import StorageError
from storage.image._image import Image
from storage.image._inodes import is_kind
from storage.image._ondisk import BLOCK_SIZE
from storage.image.blob_info import BlobFeatures
from storage.image.verbs._report import Problem, problem_of

__all__ = ["table_problems"]

_KINDS = (
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFCHR,
    stat.S_IFBLK,
    stat.S_IFIFO,
    stat.S_IFSOCK,
)
_MAX_TARGET = 4095
Bool = npt.NDArray[np.bool_]


def table_problems(image: Image) -> Iterator[Problem]:
    """Link counts, names, links, attributes, chunks: what holds for any version of RAFS."""
    yield from _modes(image)
    yield from _link_counts(image)
    yield from _names(image)
    yield from _targets_and_xattrs(image)
    yield from _extents(image)


def _modes(image: Image) -> Iterator[Problem]:
    known = np.isin(image.inodes.mode & 0o170000, _KINDS)
    for row in np.flatnonzero(~known).tolist():
        yield Problem("attribute", f"mode {int(image.inodes.mode[row]):o} is of no kind of file", image.path_of(row))


def _link_counts(image: Image) -> Iterator[Problem]:
    inodes, entries = image.inodes, image.entries
    names = np.bincount(entries.inode, minlength=len(inodes))
    folder, regular = is_kind(inodes.mode, stat.S_IFDIR), is_kind(inodes.mode, stat.S_IFREG)
    below = np.bincount(entries.parent[folder[entries.inode]], minlength=len(inodes))
    wanted = np.where(folder, 2 + below, np.where(regular, names, 1))
    for row in np.flatnonzero(wanted != inodes.nlink).tolist():
        what = f"has a link count of {int(inodes.nlink[row])} where {int(wanted[row])} is right"
        yield Problem("link", what, image.path_of(row))


def _names(image: Image) -> Iterator[Problem]:
    """Names of each directory once and in order: the kernel looks them up by halving."""
    whole = image.data.tobytes()
    columns = (image.entries.parent, image.entries.name_offset, image.entries.name_length)
    before, last = -1, b""
    for parent, start, length in zip(*(column.tolist() for column in columns), strict=True):
        name = whole[start : start + length]
        if parent == before and name <= last:
            what = "is there twice" if name == last else "comes after a later one"
            yield Problem("name", f"the name {name!r} {what}", image.path_of(parent))
        before, last = parent, name


def _targets_and_xattrs(image: Image) -> Iterator[Problem]:
    inodes = image.inodes
    for row in np.flatnonzero(is_kind(inodes.mode, stat.S_IFLNK)).tolist():
        try:
            target = image.readlink(row)
        except StorageError as error:
            yield problem_of(error, "pointer")
            continue
        if not 0 < len(target) <= _MAX_TARGET or b"\0" in target:
            yield Problem("attribute", f"links to {target[:40]!r}, which is no path", image.path_of(row))
    for row in np.flatnonzero(inodes.xattr_size > 0).tolist():
        try:
            image.xattrs(row)
        except StorageError as error:
            yield problem_of(error, "attribute")


def _extents(image: Image) -> Iterator[Problem]:
    chunks, extents = image.chunks, image.extents
    size = chunks.uncompressed_size[extents.chunk]
    outside = np.array([info.has_feature(BlobFeatures.EXTERNAL) for info in image.infos], np.bool_)
    named = chunks.has_digest | outside[chunks.blob]  # of external blobs a builder need not know them
    wrong: dict[str, Bool] = {
        "a chunk that has no digest": ~named[extents.chunk] & (image.block_size == BLOCK_SIZE),  # but tarfs
        "a chunk of another length": size != extents.length,
    }
    for what, rows in wrong.items():
        for at in np.flatnonzero(rows).tolist():
            row = int(extents.inode[at])
            yield Problem("pointer", f"has {what} at offset {int(extents.offset[at])}", image.path_of(row))
    owned = np.bincount(extents.inode, extents.length, len(image.inodes)).astype(np.int64)
    short = is_kind(image.inodes.mode, stat.S_IFREG) & (owned != image.inodes.size)
    for row in np.flatnonzero(short).tolist():
        what = f"is of {int(image.inodes.size[row])} bytes, of which its chunks hold {int(owned[row])}"
        yield Problem("pointer", what, image.path_of(row))
