"""Backend `localdisk`: blobs are the partitions of a disk, or of an image of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from storage.backend._base import BlobReader, Transfer
from storage.backend._file import open_file, pread_into
from storage.backend._gpt import BASIC_DATA, Partition, read_gpt
from storage.errors import BackendError, ConfigError, FormatError, MissingBlobError

__all__ = ["LocalDisk"]

_NAME_LENGTH = 32


class _Extent(NamedTuple):
    offset: int
    length: int


class LocalDisk:
    """Blobs as partitions.

    A blob's id is the partition's name and then its GUID in hex, 32 digits each; of a "basic data"
    partition the name alone, and a longer id is then looked for by its first 32 digits (upstream:
    localdisk.rs). A blob is as long as its partition: what follows the content is padding.

    Parameters
    ----------
    device_path
        A block device, or a file that is an image of a disk.
    disable_gpt
        Do not look for a partition table; blobs are those that `add_blob` is told of.

    Raises
    ------
    ConfigError
        If the device cannot be opened.
    FormatError
        If it has no sound partition table, or two blobs of one id.
    """

    def __init__(self, device_path: str | Path, *, disable_gpt: bool = False) -> None:
        self.path = Path(device_path)
        self._fd = -1
        try:
            self._fd = open_file(self.path)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise ConfigError(f"the disk cannot be opened: {error.strerror}", path=self.path) from error
        self._extents: dict[str, _Extent] = {}
        self._truncates = False
        if not disable_gpt:
            self._scan()

    def _scan(self) -> None:
        try:
            partitions = read_gpt(self._read_at, self.size)
        except FormatError as error:
            raise FormatError(error.message, path=self.path, **error.where) from error
        for partition in partitions:
            self._truncates |= partition.type == BASIC_DATA
            blob_id = _blob_id(partition)
            if not blob_id or blob_id in self._extents:
                what = "two partitions are the same blob" if blob_id else "a partition has no name"
                raise FormatError(what, path=self.path, field="name", blob=blob_id or None)
            self._extents[blob_id] = _Extent(partition.offset, partition.length)

    def _read_at(self, offset: int, length: int) -> bytes:
        buffer = bytearray(length)
        pread_into(self._fd, self.path, memoryview(buffer), offset)
        return bytes(buffer)

    def blob_ids(self) -> list[str]:
        """Ids of all blobs, in the order in which they were found."""
        return list(self._extents)

    def add_blob(self, blob_id: str, offset: int, length: int) -> None:
        """Say where a blob lies on a disk without a partition table.

        Raises
        ------
        ConfigError
            If it does not lie on the disk, or there is one of that id.
        """
        if blob_id in self._extents:
            raise ConfigError("there is a blob of this id", path=self.path, blob=blob_id)
        if not 0 <= offset <= offset + length <= self.size:
            raise ConfigError("the blob does not lie on the disk", path=self.path, blob=blob_id, offset=offset)
        self._extents[blob_id] = _Extent(offset, length)

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the partition that is the blob."""
        extent = self._extents.get(blob_id)
        if extent is None and self._truncates and len(blob_id) >= _NAME_LENGTH:
            extent = self._extents.get(blob_id[:_NAME_LENGTH])
        if extent is None:
            raise MissingBlobError("the disk has no partition for the blob", path=self.path, blob=blob_id)
        return _Reader(self, blob_id, extent)

    def read_into(self, blob_id: str, extent: _Extent, buffer: memoryview, offset: int) -> Transfer:
        """Fill the buffer from within a blob."""
        if offset + len(buffer) > extent.length:
            end = max(offset, extent.length)
            raise BackendError("the blob ends early", path=self.path, blob=blob_id, offset=end)
        return pread_into(self._fd, self.path, buffer, offset, blob=blob_id, base=extent.offset)

    def __repr__(self) -> str:
        return f"LocalDisk({str(self.path)!r})"

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _blob_id(partition: Partition) -> str:
    return partition.name if partition.type == BASIC_DATA else partition.name + partition.guid.hex


class _Reader:
    def __init__(self, disk: LocalDisk, blob_id: str, extent: _Extent) -> None:
        self.blob_id = blob_id
        self._disk = disk  # which owns the descriptor
        self._extent = extent

    def blob_size(self) -> int:
        return self._extent.length

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        return self._disk.read_into(self.blob_id, self._extent, buffer, offset)
