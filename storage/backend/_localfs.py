"""Backend `localfs`: each blob is a file of its name in a folder, or one file is the only blob."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storage.backend._base import BlobReader
from storage.backend._file import FileReader, open_file
from storage.backend._ids import check_blob_id
from storage.errors import BackendError, ConfigError, MissingBlobError

__all__ = ["LocalFs"]


class LocalFs:
    """Blobs as files.

    Parameters
    ----------
    folder
        Where blobs are, each by its id.
    blob_file
        The one blob, whatever its id; folders are not looked at then.
    alt_dirs
        Folders to look into, in order, for a blob that `folder` does not have or has empty.

    Raises
    ------
    ConfigError
        If there is neither a folder nor a file.

    Examples
    --------
    >>> LocalFs("image/blobs").get_reader(blob_id).blob_size()
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        blob_file: str | Path | None = None,
        alt_dirs: Sequence[str | Path] = (),
    ) -> None:
        if folder is None and blob_file is None:
            raise ConfigError("localfs needs a folder of blobs, or a blob", field="dir")
        self.folder = None if folder is None else Path(folder)
        self.blob_file = None if blob_file is None else Path(blob_file)
        self.alt_dirs = tuple(map(Path, alt_dirs))

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the file `blob_id`."""
        check_blob_id(blob_id)
        path = self._path(blob_id)
        try:
            fd = open_file(path)
        except FileNotFoundError as error:
            raise MissingBlobError("the blob is missing: put it there or name its folder", path=path) from error
        except OSError as error:
            raise BackendError(f"the blob cannot be opened: {error.strerror}", path=path) from error
        return FileReader(blob_id, path, fd)

    def _path(self, blob_id: str) -> Path:
        """Where the blob is; an empty file stands for a blob only where there is no other (upstream: localfs.rs)."""
        if self.blob_file is not None:
            return self.blob_file
        assert self.folder is not None
        first = self.folder / blob_id
        if not self.alt_dirs:
            return first
        places = [first, *(folder / blob_id for folder in self.alt_dirs)]
        there = [path for path in places if _size(path) is not None]
        return next((path for path in there if _size(path)), there[0] if there else first)

    def __repr__(self) -> str:
        if self.blob_file is not None:
            return f"LocalFs(blob_file={str(self.blob_file)!r})"
        alternatives = f", alt_dirs={[str(folder) for folder in self.alt_dirs]!r}" if self.alt_dirs else ""
        return f"LocalFs({str(self.folder)!r}{alternatives})"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
