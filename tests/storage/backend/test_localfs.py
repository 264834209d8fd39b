"""Backend `localfs`: right bytes, and errors that name the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.backend import LocalFs, Transfer
from storage.errors import BackendError, MissingBlobError

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one blob, and a directory beside it."""
    (tmp_path / "blob").write_bytes(CONTENT)
    (tmp_path / "directory").mkdir()
    return tmp_path


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 10_240), (77, 1), (10_239, 1), (256, 4096)])
def test_ranges(offset: int, length: int, folder: Path) -> None:
    """A range is filled whole, from its offset."""
    reader = LocalFs(folder).get_reader("blob")
    buffer = bytearray(length)
    transfer = reader.read_into(memoryview(buffer), offset)
    assert isinstance(transfer, Transfer)
    assert transfer.received == length
    assert bytes(buffer) == CONTENT[offset : offset + length]
    assert (reader.blob_id, reader.blob_size()) == ("blob", len(CONTENT))


@pytest.mark.parametrize(("offset", "end"), [(10_200, 10_240), (10_240, 10_240), (99_999, 99_999)])
def test_past_the_end(offset: int, end: int, folder: Path) -> None:
    """A range that is not there fails at the first byte that is not."""
    with pytest.raises(BackendError, match="ends early") as failed:
        LocalFs(folder).get_reader("blob").read_into(memoryview(bytearray(100)), offset)
    assert failed.value.where == {"path": folder / "blob", "offset": end}


def test_not_there(folder: Path) -> None:
    """A blob that is not there is missing, by path."""
    with pytest.raises(MissingBlobError) as failed:
        LocalFs(folder).get_reader("another")
    assert failed.value.where == {"path": folder / "another"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../blob", "/etc/passwd"])
def test_names_stay_in_the_folder(name: str, folder: Path) -> None:
    """An id that is no plain file name is refused: no image reads what lies beside its blobs."""
    with pytest.raises(BackendError, match="not a file name"):
        LocalFs(folder).get_reader(name)


def test_a_directory(folder: Path) -> None:
    """A directory by the name of a blob fails when it is read, by path."""
    with pytest.raises(BackendError) as failed:
        LocalFs(folder).get_reader("directory").read_into(memoryview(bytearray(1)), 0)
    assert failed.value.where["path"] == folder / "directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_not_allowed(folder: Path) -> None:
    """A blob that may not be read is said to be so."""
    (folder / "blob").chmod(0)
    with pytest.raises(BackendError, match="Permission denied"):
        LocalFs(folder).get_reader("blob")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_names_no_system_takes(name: str, folder: Path) -> None:
    """An id that the system cannot even look up is an error of ours as well."""
    with pytest.raises(BackendError):
        LocalFs(folder).get_reader(name)
