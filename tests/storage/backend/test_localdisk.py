"""Backend `localdisk`: partitions that `sfdisk` made are blobs, and no table that is not one is believed."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.backend import BlobBackend, LocalDisk
from storage.errors import BackendError, ConfigError, FormatError, MissingBlobError, StorageError
from storage.testing.backend_conformance import BackendConformance, noise

LINUX, BASIC = "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
SECTOR = 512

needs_sfdisk = pytest.mark.skipif(shutil.which("sfdisk") is None, reason="sfdisk is not installed (Debian: fdisk)")


def make_disk(path: Path, blobs: Mapping[str, bytes], kind: str = LINUX) -> None:
    """A disk image with a partition for each blob, its id in name and GUID, made by `sfdisk`."""
    start, lines, places = 2048, ["label: gpt", "unit: sectors"], []
    for blob_id, content in blobs.items():
        name, sectors = blob_id[:32], -(-len(content) // SECTOR)
        uuid = f", uuid={UUID(blob_id[32:])}" if kind == LINUX else ""
        lines.append(f'start={start}, size={sectors}, type={kind}, name="{name}"{uuid}')
        places.append(start * SECTOR)
        start += -(-sectors // 2048) * 2048
    with path.open("wb") as file:
        file.truncate((start + 2048) * SECTOR)
    subprocess.run(
        ["sfdisk", "--no-reread", "--no-tell-kernel", "-q", path], input="\n".join(lines), text=True, check=True
    )
    with path.open("r+b") as file:
        for place, content in zip(places, blobs.values(), strict=True):
            file.seek(place)
            file.write(content)


def sectors_of(*contents: bytes) -> dict[str, bytes]:
    """Contents by id; a partition is whole sectors, so they have to be."""
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


@needs_sfdisk
class TestLocalDisk(BackendConformance):
    """The suite, over partitions of whole sectors."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """Contents of one sector and of many."""
        return sectors_of(noise(SECTOR, 1), noise(300 * SECTOR), noise(2049 * SECTOR, 2))

    @pytest.fixture
    def backend(self, blobs: Mapping[str, bytes], tmp_path: Path) -> BlobBackend:
        """A disk image with the blobs."""
        make_disk(tmp_path / "disk.img", blobs)
        return LocalDisk(tmp_path / "disk.img")


@needs_sfdisk
def test_ids(tmp_path: Path) -> None:
    """An id is name and GUID; padding up to the sector belongs to the blob."""
    blobs = {f"{number:064x}": noise(1000) for number in (5, 1 << 130, 7 << 250)}
    make_disk(tmp_path / "disk.img", blobs)
    disk = LocalDisk(tmp_path / "disk.img")
    assert disk.blob_ids() == list(blobs)
    assert {disk.get_reader(blob_id).blob_size() for blob_id in blobs} == {1024}


@needs_sfdisk
def test_ids_of_basic_data(tmp_path: Path) -> None:
    """Of basic data partitions the name alone is the id, and a longer id is cut to 32."""
    blob_id, content = next(iter(sectors_of(noise(SECTOR)).items()))
    make_disk(tmp_path / "disk.img", {blob_id: content}, BASIC)
    disk = LocalDisk(tmp_path / "disk.img")
    assert disk.blob_ids() == [blob_id[:32]]
    for name in (blob_id[:32], blob_id, blob_id[:32] + "something else"):
        buffer = bytearray(SECTOR)
        disk.get_reader(name).read_into(memoryview(buffer), 0)
        assert buffer == content
    for name in (blob_id[:31], "x" + blob_id):
        with pytest.raises(MissingBlobError):
            disk.get_reader(name)


def test_without_a_table(tmp_path: Path) -> None:
    """Blobs can be placed by hand, within the disk and each once."""
    path = tmp_path / "disk.img"
    path.write_bytes(noise(10_000))
    disk = LocalDisk(path, disable_gpt=True)
    disk.add_blob("blob", 100, 50)
    buffer = bytearray(50)
    disk.get_reader("blob").read_into(memoryview(buffer), 0)
    assert buffer == noise(10_000)[100:150]
    with pytest.raises(BackendError, match=r"ends early .*offset 50"):
        disk.get_reader("blob").read_into(memoryview(bytearray(1)), 50)
    for blob_id, offset, length in (("blob", 0, 1), ("a", 9_999, 2), ("b", -1, 1), ("c", 5, -1), ("d", 1 << 63, 1)):
        with pytest.raises(ConfigError):
            disk.add_blob(blob_id, offset, length)


def test_no_disk(tmp_path: Path) -> None:
    """A disk that is not there is an error of the setting, by path."""
    with pytest.raises(ConfigError) as failed:
        LocalDisk(tmp_path / "none")
    assert failed.value.where == {"path": tmp_path / "none"}


def table(entries: bytes, at: int = 1, size: int = 64, **fields: int) -> bytes:
    """A header and its entries, whole but for what `fields` says."""
    header = {"revision": 0x10000, "length": 92, "mine": at, "other": 63, "first": 34, "last": 60, "start": 2}
    header |= {"count": len(entries) // 128, "entry_size": 128, "entries_crc": zlib.crc32(entries)} | fields

    def pack(crc: int) -> bytes:
        keys = ("revision", "length", "mine", "other", "first", "last", "start", "count", "entry_size", "entries_crc")
        revision, length, mine, other, first, last, at_entries, count, entry_size, entries_crc = map(header.get, keys)
        return struct.pack(
            "<8sIIIIQQQQ16sQIII", b"EFI PART", revision, length, crc, 0, mine, other, first, last,
            bytes(16), at_entries, count, entry_size, entries_crc,
        )  # fmt: skip

    whole = pack(zlib.crc32(pack(0)))
    return (bytes(SECTOR) + whole.ljust(SECTOR, b"\0") + entries).ljust(size * SECTOR, b"\0")


def entry(first: int, last: int, name: bytes = b"a\0", number: int = 1) -> bytes:
    """A partition's entry."""
    kind, guid = UUID(LINUX).bytes_le, UUID(int=number).bytes_le
    return kind + guid + struct.pack("<QQQ", first, last, 0) + name.ljust(72, b"\0")


def opened(path: Path, data: bytes) -> LocalDisk:
    """A disk of these bytes."""
    path.write_bytes(data)
    return LocalDisk(path)


def test_hand_made(tmp_path: Path) -> None:
    """The tables that the tests below spoil are whole to begin with."""
    disk = opened(tmp_path / "disk", table(entry(40, 41) + bytes(128) + entry(50, 50, number=2)))
    assert [disk.get_reader(blob_id).blob_size() for blob_id in disk.blob_ids()] == [1024, 512]
    assert opened(tmp_path / "disk", table(b"")).blob_ids() == []


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (table(entry(40, 41), revision=2), "revision"),
        (table(entry(40, 41), length=91), "header_size"),
        (table(entry(40, 41), length=513), "header_size"),
        (table(entry(40, 41), mine=2), "my_lba"),
        (table(entry(40, 41), first=61), "usable_lba"),
        (table(entry(40, 41), last=64), "usable_lba"),
        (table(entry(40, 41), entry_size=0), "entry_size"),
        (table(entry(40, 41), entry_size=100), "entry_size"),
        (table(entry(40, 41), start=0), "entries_lba"),
        (table(entry(40, 41), start=1 << 63), "entries_lba"),
        (table(entry(40, 41), count=0xFFFFFFFF), "count"),
        (table(entry(40, 41), count=1 << 12, entry_size=1 << 30), "count"),
        (table(entry(40, 41), entries_crc=1), "entries_crc"),
        (table(entry(33, 41)), "first_lba"),
        (table(entry(41, 40)), "first_lba"),
        (table(entry(40, 61)), "first_lba"),
        (table(entry(40, 1 << 63)), "first_lba"),
        (table(entry(40, 45) + entry(45, 46, number=2)), "first_lba"),
        (table(entry(40, 40) + entry(41, 41)), "name"),
        (table(entry(40, 40, name=b"\x00\xd8")), "name"),
        (table(entry(40, 41))[:1024] + b"\1" + table(entry(40, 41))[1025:], "entries_crc"),
        (b"", None),
        (bytes(512), None),
        (bytes(1 << 16), "signature"),
    ],
)
def test_spoiled(data: bytes, field: str | None, tmp_path: Path) -> None:
    """What is wrong with a table is said by its field, and nothing of it is used."""
    with pytest.raises(FormatError) as failed:
        opened(tmp_path / "disk", data)
    assert (failed.value.where["path"], failed.value.where.get("field")) == (tmp_path / "disk", field)


@needs_sfdisk
def test_backup(tmp_path: Path) -> None:
    """With the first table gone, that at the end of the disk is as good."""
    blobs = sectors_of(noise(SECTOR), noise(SECTOR, 1))
    make_disk(tmp_path / "disk.img", blobs)
    with (tmp_path / "disk.img").open("r+b") as file:
        file.write(bytes(34 * SECTOR))
    assert LocalDisk(tmp_path / "disk.img").blob_ids() == list(blobs)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(SECTOR, 4 * SECTOR - 1), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 1 << 15),
)
def test_any_spoiling(edits: list[tuple[int, int]], length: int, tmp_path: Path) -> None:
    """Bytes changed anywhere in a table, and a disk cut anywhere: a list of blobs or an error of ours."""
    data = bytearray(table(entry(40, 41) + entry(50, 50, number=2)))
    for at, value in edits:
        data[at] = value
    try:
        disk = opened(tmp_path / "disk", bytes(data[: len(data) - length]))
    except StorageError:
        return
    assert len(disk.blob_ids()) <= 2
