"""Removing from a cache folder what no image needs any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from storage.cache._file import refused
from storage.cache.folder import FolderLock
from storage.device import BlobInfo
from storage.errors import CacheError

__all__ = ["Unused", "collect_garbage"]

_SUFFIXES = (".blob.data", ".blob.data.chunk_map", ".blob.data.range_map", ".blob.raw", ".blob.meta", ".blob.digest")


class Unused(NamedTuple):
    """A file that no image needs, and how many bytes of disk it takes."""

    path: Path
    size: int


def collect_garbage(folder: Path, images: Iterable[Sequence[BlobInfo]], dry_run: bool = False) -> list[Unused]:
    """Remove the cache files of blobs that are in none of the images.

    Parameters
    ----------
    folder
        A cache folder that nobody has open.
    images
        The blobs of each image that is to stay.
    dry_run
        Only say what would be removed.

    Raises
    ------
    CacheError
        If it is no cache folder of these images, as it holds none of their blobs; or it cannot be changed.
    CacheUnavailableError
        If somebody has it open.
    """
    if not folder.is_dir():
        raise CacheError("there is no such cache folder", path=folder)
    wanted = [info for infos in images for info in infos]
    lock = FolderLock(folder, wanted, exclusive=True)
    try:
        kept = {None, *(info.blob_id for info in wanted)}
        unused = [_measured(path) for path in sorted(folder.iterdir(), key=_turn) if _blob_of(path.name) not in kept]
        for path, _ in unused:
            if not dry_run:
                path.unlink(missing_ok=True)
        return unused
    except OSError as error:
        raise refused("the cache folder cannot be cleaned", error, folder) from error
    finally:
        lock.release()


def _turn(path: Path) -> tuple[bool, str]:
    """Maps first: what they call ready must be there for as long as they are."""
    return not path.name.endswith("_map"), path.name


def _measured(path: Path) -> Unused:
    return Unused(path, path.stat().st_blocks * 512)


def _blob_of(name: str) -> str | None:
    """The blob whose file it is; None for what is not a cache's."""
    for suffix in _SUFFIXES:
        if name.removesuffix(".partial").endswith(suffix):
            return name.removesuffix(".partial").removesuffix(suffix)
    return None
