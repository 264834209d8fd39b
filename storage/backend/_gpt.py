"""Reading a GUID partition table: which partitions a disk has (UEFI specification 2.10, section 5.3).

Everything in the table is checked before it is believed, and nothing is read that it does not bound.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import numpy as np

from storage.errors import FormatError

__all__ = ["BASIC_DATA", "SECTOR", "Partition", "read_gpt"]

SECTOR = 512
BASIC_DATA = UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_SIGNATURE, _REVISION = b"EFI PART", 0x0001_0000
_CRC_AT = 16
_ENTRY = np.dtype(
    [("type", "V16"), ("guid", "V16"), ("first", "<u8"), ("last", "<u8"), ("flags", "<u8"), ("name", "V72")]
)
_MAX_ENTRIES_BYTES = 1 << 20

ReadAt = Callable[[int, int], bytes]


class Partition(NamedTuple):
    """A partition that is in use.

    Attributes
    ----------
    type, guid
        What it is for, and which one it is.
    name
        Up to 36 characters.
    offset, length
        Bytes on the disk.
    """

    type: UUID
    guid: UUID
    name: str
    offset: int
    length: int


class _Header(NamedTuple):
    at: int
    first_usable: int
    last_usable: int
    entries_at: int
    entries: int
    entry_size: int
    entries_crc: int


def read_gpt(read_at: ReadAt, size: int) -> list[Partition]:
    """The partitions of a disk of `size` bytes, in the order of the table.

    The table at the end of the disk is taken where that at its start is damaged.

    Parameters
    ----------
    read_at
        Returns so many bytes (second) from an offset (first); both lie within `size`.

    Raises
    ------
    FormatError
        If neither table is whole, or a partition lies outside the disk or over another one.
    """
    try:
        return _read_table(read_at, size, SECTOR)
    except FormatError as damaged:
        try:
            return _read_table(read_at, size, size // SECTOR * SECTOR - SECTOR)
        except FormatError:
            raise damaged from None


def _read_table(read_at: ReadAt, size: int, at: int) -> list[Partition]:
    header = _read_header(read_at, size, at)
    length = header.entries * header.entry_size
    if length > _MAX_ENTRIES_BYTES or header.entries_at + length > size:
        raise FormatError("the partition entries do not fit", field="count", offset=at)
    raw = read_at(header.entries_at, length)
    if zlib.crc32(raw) != header.entries_crc:
        raise FormatError("the partition entries' checksum is wrong", field="entries_crc", offset=header.entries_at)
    table = np.frombuffer(raw, np.uint8).reshape(header.entries, header.entry_size)
    entries = np.ascontiguousarray(table[:, : _ENTRY.itemsize]).view(_ENTRY)[:, 0] if header.entries else ()
    used = [_partition(entry, header) for entry in entries if entry["type"].tobytes() != bytes(16)]
    _check_apart(used)
    return used


def _read_header(read_at: ReadAt, size: int, at: int) -> _Header:
    if at < SECTOR or at + SECTOR > size:
        raise FormatError("is too short for a partition table", offset=at)
    raw = read_at(at, SECTOR)
    signature, revision, length, crc, _, mine, _, first, last, _, entries, count, entry_size, entries_crc = (
        _HEADER.unpack_from(raw)
    )
    wrong = {
        "signature": signature != _SIGNATURE,
        "revision": revision != _REVISION,
        "header_size": not _HEADER.size <= length <= SECTOR,
        "my_lba": mine * SECTOR != at,
        "usable_lba": not first <= last < size // SECTOR,
        "entry_size": entry_size % 128 != 0 or entry_size == 0,
        "entries_lba": not 0 < entries < size // SECTOR,
    }
    for field, is_wrong in wrong.items():
        if is_wrong:
            raise FormatError("is not a partition table", field=field, offset=at)
    if zlib.crc32(raw[:_CRC_AT] + bytes(4) + raw[_CRC_AT + 4 : length]) != crc:
        raise FormatError("the partition table's checksum is wrong", field="header_crc", offset=at)
    return _Header(at, first, last, entries * SECTOR, count, entry_size, entries_crc)


def _partition(entry: np.void, header: _Header) -> Partition:
    first, last = int(entry["first"]), int(entry["last"])
    guid = UUID(bytes_le=entry["guid"].tobytes())
    if not header.first_usable <= first <= last <= header.last_usable:
        raise FormatError(f"partition {guid} lies outside the disk", field="first_lba", offset=header.entries_at)
    try:
        name = entry["name"].tobytes().decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError as error:
        raise FormatError(f"partition {guid} has a name that is no text", field="name") from error
    kind = UUID(bytes_le=entry["type"].tobytes())
    return Partition(kind, guid, name, first * SECTOR, (last - first + 1) * SECTOR)


def _check_apart(partitions: list[Partition]) -> None:
    end = 0
    for partition in sorted(partitions, key=lambda partition: partition.offset):
        if partition.offset < end:
            raise FormatError(f"partition {partition.guid} lies over another", field="first_lba")
        end = partition.offset + partition.length
