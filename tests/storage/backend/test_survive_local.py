"""What happens to disks while they are read: of the faults of networks those that files and partitions have."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from storage.backend import LocalDisk, LocalFs
from storage.backend._file import FileReader
from storage.errors import BackendError, IntegrityError, MissingBlobError
from storage.testing.backend_conformance import noise
from storage.testing.blobs import make_blobs, open_cache
from storage.testing.cache import read_chunks
from tests.storage.backend.test_localdisk import make_disk

_CONTENT = noise(40 * 512)
_ID = hashlib.sha256(_CONTENT).hexdigest()
Survived = Callable[[str, str, str], None]


class Local(NamedTuple):
    """A backend, and the file in which its blob is: at `offset`."""

    kind: str
    backend: Any
    file: Path
    offset: int


@pytest.fixture(params=["localfs", "localdisk"])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Local:
    """The blob in a folder, and in a partition."""
    if request.param == "localfs":
        (tmp_path / _ID).write_bytes(_CONTENT)
        return Local("localfs", LocalFs(tmp_path), tmp_path / _ID, 0)
    if shutil.which("sfdisk") is None:
        pytest.skip("sfdisk is not installed: make system-packages, as root")
    make_disk(tmp_path / "disk.img", {_ID: _CONTENT})
    return Local("localdisk", LocalDisk(tmp_path / "disk.img"), tmp_path / "disk.img", 2048 * 512)


def test_none(local: Local, survived: Survived) -> None:
    """Without a fault it is read."""
    buffer = bytearray(100)
    local.backend.get_reader(_ID).read_into(memoryview(buffer), 1000)
    assert buffer == _CONTENT[1000:1100]
    survived("none", local.kind, "right")


def test_not_there(local: Local, survived: Survived) -> None:
    """A blob that is not there is missing."""
    with pytest.raises(MissingBlobError) as missing:
        local.backend.get_reader("f" * 64)
    survived("404", local.kind, missing.value.message)


def test_truncated(local: Local, survived: Survived) -> None:
    """Cut off within a blob that is being read, it is read up to there; what is behind is an error that says where."""
    reader, buffer = local.backend.get_reader(_ID), bytearray(1000)
    os.truncate(local.file, local.offset + 5000)
    reader.read_into(memoryview(buffer), 4000)
    assert buffer == _CONTENT[4000:5000]
    with pytest.raises(BackendError, match="ends early") as cut:
        reader.read_into(memoryview(buffer), 4500)
    assert (cut.value.where["blob"], cut.value.where["offset"]) == (_ID, 5000)
    survived("truncated body, always", local.kind, cut.value.message)


def test_replaced(local: Local, survived: Survived) -> None:
    """A file that is replaced while it is read is read on as it was."""
    reader, buffer = local.backend.get_reader(_ID), bytearray(1000)
    reader.read_into(memoryview(buffer), 0)
    fresh = local.file.with_name("fresh")
    fresh.write_bytes(bytes(local.file.stat().st_size))
    fresh.replace(local.file)
    reader.read_into(memoryview(buffer), 1000)
    assert buffer == _CONTENT[1000:2000]
    survived("killed and restarted", local.kind, "right")


def test_a_pipe(tmp_path: Path, survived: Survived) -> None:
    """A pipe in the place of a blob, at which nobody writes, is not waited for."""
    os.mkfifo(tmp_path / _ID)
    with pytest.raises(BackendError) as refused:
        LocalFs(tmp_path).get_reader(_ID).read_into(memoryview(bytearray(10)), 0)
    survived("stall before the header", "localfs", refused.value.message)


def test_full_pool(local: Local, survived: Survived) -> None:
    """Sixty-four threads read through one descriptor."""
    reader = local.backend.get_reader(_ID)
    opened = reader._fd if isinstance(reader, FileReader) else local.backend._fd
    place = os.lseek(opened, 0, os.SEEK_CUR)

    def right(number: int) -> bool:
        buffer = bytearray(100)
        reader.read_into(memoryview(buffer), number)
        return buffer == _CONTENT[number : number + 100]

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(right, range(1280)))
    assert os.lseek(opened, 0, os.SEEK_CUR) == place  # nobody moved another's place
    survived("64 threads, 1 descriptor", local.kind, "right")


def test_wrong_bytes(tmp_path: Path, survived: Survived) -> None:
    """What a disk spoils is caught by its digest, read once more, and then named by blob and chunk."""
    (tmp_path / "blobs").mkdir()
    made = make_blobs(tmp_path / "blobs", [[_CONTENT[at : at + 5000] for at in range(0, 20_000, 5000)]])
    blob_id = made.infos[0].blob_id
    with (made.folder / blob_id).open("r+b") as file:
        file.seek(int(made.chunks.compressed_offset[2]))
        file.write(b"spoilt")
    for kind in ("localfs", "localdisk"):
        backend: Any = LocalFs(made.folder)
        if kind == "localdisk":
            if shutil.which("sfdisk") is None:
                continue
            make_disk(tmp_path / "disk.img", {blob_id: (made.folder / blob_id).read_bytes()})
            backend = LocalDisk(tmp_path / "disk.img")
        cache = open_cache(made, tmp_path / kind, backend=backend)
        with pytest.raises(IntegrityError) as failed:
            read_chunks(cache, made, range(4))
        assert (failed.value.where["blob"], failed.value.where["chunk"]) == (blob_id, 2)
        cache.close()
        survived("wrong bytes twice", kind, f"{failed.value.message}, chunk 2")
