"""An opened image: its tables, and the few questions that are asked one file at a time."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.errors import FormatError, PathError
from storage.image._ondisk import BLOCK_SIZE, FLAT_INLINE, XATTR_HEADER_SIZE, XATTR_PREFIXES
from storage.image.blob_info import BlobInfo
from storage.image.tables import Blobs, Chunks, Entries, Extents, Inodes
from storage.image.v5._xattrs import read_xattrs

__all__ = ["Image", "Stat"]

_MAX_PATH = 4095


class Stat(NamedTuple):
    """What an image knows of a file, by the names of ``os.stat_result``."""

    st_mode: int
    st_ino: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_mtime_ns: int
    st_rdev: int


@dataclass(frozen=True, eq=False)
class Image:
    """A RAFS image as tables.

    Attributes
    ----------
    chunk_size
        Largest chunk, in bytes.
    infos
        The blobs, as the blob table has them.
    inodes, entries, extents, chunks, blobs
        See `storage.image.tables`.
    prefetch
        Inode rows of the prefetch table.
    version
        Of RAFS: 5 or 6.
    block_size
        Of EROFS: 4096, or 512 for tarfs.
    digest
        That of the bootstrap, where `data` is not all of it.
    """

    chunk_size: int
    infos: tuple[BlobInfo, ...]
    inodes: Inodes
    entries: Entries
    extents: Extents
    chunks: Chunks
    blobs: Blobs
    prefetch: npt.NDArray[np.int32]
    data: npt.NDArray[np.uint8] = field(repr=False)
    version: int = 6
    block_size: int = BLOCK_SIZE
    digest: str = ""
    _names: dict[int, dict[bytes, int]] = field(default_factory=dict, repr=False)

    @cached_property
    def bootstrap_digest(self) -> str:
        """SHA-256 of the bootstrap, in hex: what traces say they belong to."""
        return self.digest or hashlib.sha256(self.data.data).hexdigest()

    def lookup(self, path: str | bytes) -> int:
        """The inode row of a path from the root; links are not followed.

        Raises
        ------
        PathError
            If there is no such file.
        """
        encoded = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
        row = 0
        for name in encoded.split(b"/"):
            if name and name != b".":
                row = self._folder(row).get(name, -1) if stat.S_ISDIR(int(self.inodes.mode[row])) else -1
            if row < 0:
                raise PathError("no such file in the image", path=encoded.decode("utf-8", "backslashreplace"))
        return row

    def children(self, row: int) -> list[tuple[bytes, int]]:
        """Names and inode rows in a directory, in the image's order.

        Raises
        ------
        PathError
            If it is not a directory.
        """
        if not stat.S_ISDIR(int(self.inodes.mode[row])):
            raise PathError("is not a directory", path=self.path_of(row))
        return list(self._folder(row).items())

    def paths(self) -> tuple[list[bytes], npt.NDArray[np.int64]]:
        """Every path of the image with its inode row, parents before children; the root is first.

        Raises
        ------
        FormatError
            If one is longer than the 4095 bytes that the kernel takes.
        """
        whole = self.data.tobytes()
        paths: list[bytes] = [b"/"]
        prefix: dict[int, bytes] = {0: b"/"}
        folder = ((self.inodes.mode & 0o170000) == stat.S_IFDIR).tolist()
        columns = (self.entries.parent, self.entries.inode, self.entries.name_offset, self.entries.name_length)
        for parent, inode, start, length in zip(*(column.tolist() for column in columns), strict=True):
            path = prefix[parent] + whole[start : start + length]
            if len(path) > _MAX_PATH:
                raise FormatError(f"a path is longer than {_MAX_PATH} bytes", offset=start)
            paths.append(path)
            if folder[inode]:
                prefix[inode] = path + b"/"
        return paths, np.concatenate([[0], self.entries.inode]).astype(np.int64)

    def path_of(self, row: int) -> str:
        """One path of an inode, for people to read."""
        names: list[str] = []
        while row != 0:
            at = int(np.flatnonzero(self.entries.inode == row)[0])
            start, length = int(self.entries.name_offset[at]), int(self.entries.name_length[at])
            names.append(self.data[start : start + length].tobytes().decode("utf-8", "backslashreplace"))
            row = int(self.entries.parent[at])
        return "/" + "/".join(reversed(names))

    def segments(self, row: int, offset: int, length: int) -> tuple[list[int], list[int], list[int]]:
        """What a read asks of chunks.

        Parameters
        ----------
        row
            A regular file's inode row.
        offset, length
            Bytes of the file; what is past its end is left out.

        Returns
        -------
        tuple of three lists
            Chunk rows, offsets within each, and lengths.

        Raises
        ------
        PathError
            If it is not a regular file.
        """
        if not stat.S_ISREG(int(self.inodes.mode[row])):
            raise PathError("is not a regular file", path=self.path_of(row))
        end = min(offset + length, int(self.inodes.size[row]))
        if offset < 0 or offset >= end:
            return [], [], []
        first, last = offset // self.chunk_size, (end - 1) // self.chunk_size
        base = int(self.inodes.first_extent[row])
        rows: list[int] = self.extents.chunk[base + first : base + last + 1].tolist()
        offsets = [offset - first * self.chunk_size] + [0] * (last - first)
        lengths = [self.chunk_size - at for at in offsets]
        lengths[-1] = end - last * self.chunk_size - offsets[-1]
        return rows, offsets, lengths

    def stat(self, row: int) -> Stat:
        """What the image knows of an inode."""
        t = self.inodes
        columns = (t.mode, t.nid, t.nlink, t.uid, t.gid, t.size, t.mtime_ns, t.rdev)
        return Stat(*(int(column[row]) for column in columns))

    def readlink(self, row: int) -> bytes:
        """Where a symbolic link points.

        Raises
        ------
        PathError
            If it is not one.
        """
        if not stat.S_ISLNK(int(self.inodes.mode[row])):
            raise PathError("is not a symbolic link", path=self.path_of(row))
        size = int(self.inodes.size[row])
        tail = size % self.block_size if int(self.inodes.layout[row]) == FLAT_INLINE else 0
        start, behind = int(self.inodes.data_offset[row]), int(self.inodes.tail_offset[row])
        if size > tail and start + size - tail > len(self.data):
            raise FormatError("a link's target lies past the end", offset=start)
        whole = self.data[start : start + size - tail] if size > tail else self.data[:0]
        return whole.tobytes() + (self.data[behind : behind + tail].tobytes() if tail else b"")

    def xattrs(self, row: int) -> dict[str, bytes]:
        """Extended attributes of an inode.

        Raises
        ------
        FormatError
            If they do not fit their place.
        """
        start, size = int(self.inodes.xattr_offset[row]), int(self.inodes.xattr_size[row])
        found: dict[str, bytes] = {}
        whole = self.data.data
        if self.version == 5:
            return read_xattrs(whole, start, size) if start >= 0 else {}
        at, end = start + XATTR_HEADER_SIZE, min(start + size, len(whole))
        while start >= 0 and at + 4 <= end:
            name_length, index, length = whole[at], whole[at + 1], int.from_bytes(whole[at + 2 : at + 4], "little")
            value = at + 4 + name_length
            if index not in XATTR_PREFIXES or value + length > end:
                raise FormatError("an extended attribute is broken", offset=at)
            name = bytes(whole[at + 4 : value]).decode("utf-8", "surrogateescape")
            found[XATTR_PREFIXES[index] + name] = bytes(whole[value : value + length])
            at = -(-(value + length) // 4) * 4
        return found

    def _folder(self, row: int) -> dict[bytes, int]:
        """Names in a directory, made when first asked for."""
        names = self._names.get(row)
        if names is None:
            first, last = np.searchsorted(self.entries.parent, [row, row + 1]).tolist()
            names = {}
            for at in range(first, last):
                start, length = int(self.entries.name_offset[at]), int(self.entries.name_length[at])
                names[self.data[start : start + length].tobytes()] = int(self.entries.inode[at])
            if len(names) != last - first:
                raise FormatError("a directory has a name twice", offset=int(self.entries.name_offset[first]))
            self._names[row] = names
        return names

    def _repr_html_(self) -> str:
        rows = {
            "files": f"{len(self.inodes):,}",
            "bytes in files": f"{int(self.extents.length.sum()):,}",
            "chunks": f"{len(self.chunks):,}",
            "bytes uncompressed": f"{int(self.chunks.uncompressed_size.sum()):,}",
            "bytes compressed": f"{int(self.chunks.stored_size.sum()):,}",
            "blobs": f"{len(self.infos):,}",
            "chunk size": f"{self.chunk_size:,}",
            "RAFS version": f"{self.version}",
        }
        cells = "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in rows.items())
        return f"<b>RAFS image</b> {self.bootstrap_digest[:12]}<table>{cells}</table>"
