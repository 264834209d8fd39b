"""Backend `localfs`: right bytes, and errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.backend import BlobBackend, LocalFs, Transfer
from storage.errors import BackendError, ConfigError, MissingBlobError
from storage.testing.backend_conformance import BackendConformance

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
    assert failed.value.where == {"path": folder / "blob", "blob": "blob", "offset": end}


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


class TestLocalFs(BackendConformance):
    """The suite, over a folder."""

    @pytest.fixture
    def backend(self, blobs: Mapping[str, bytes], tmp_path: Path) -> BlobBackend:
        """A folder with a file for each blob."""
        for blob_id, content in blobs.items():
            (tmp_path / blob_id).write_bytes(content)
        return LocalFs(tmp_path)


def test_blob_file(folder: Path) -> None:
    """With one file given, that is the blob by any id."""
    backend = LocalFs(folder / "nowhere", blob_file=folder / "blob")
    assert backend.get_reader("something").blob_size() == len(CONTENT)
    with pytest.raises(MissingBlobError):
        LocalFs(blob_file=folder / "none").get_reader("blob")


def test_alt_dirs(tmp_path: Path) -> None:
    """A blob is looked for folder by folder; an empty file is taken only where there is no other."""
    for name, sizes in {"main": {"a": 1, "b": 0, "d": 0}, "one": {"b": 0, "c": 2}, "two": {"a": 9, "b": 3}}.items():
        (tmp_path / name).mkdir()
        for blob, size in sizes.items():
            (tmp_path / name / blob).write_bytes(bytes(size))
    backend = LocalFs(tmp_path / "main", alt_dirs=[tmp_path / "one", tmp_path / "two", tmp_path / "none"])
    assert [backend.get_reader(blob).blob_size() for blob in "abcd"] == [1, 3, 2, 0]
    with pytest.raises(MissingBlobError) as failed:
        backend.get_reader("e")
    assert failed.value.where == {"path": tmp_path / "main" / "e"}


def test_nowhere() -> None:
    """A backend with no place for blobs is refused."""
    with pytest.raises(ConfigError):
        LocalFs()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe by the name of a blob fails at once."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BackendError):
        LocalFs(tmp_path).get_reader("pipe").read_into(memoryview(bytearray(1)), 0)
