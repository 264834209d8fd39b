"""What differs between two images: files, chunks, bytes."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.image._image import Image
from storage.image.verbs._statistics import statistics

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "diff"]


@dataclass(frozen=True)
class Difference:
    """Two images compared.

    Attributes
    ----------
    files
        A row a path that differs: ``path``; ``change`` (``added``, ``removed``, ``kind``, ``content``,
        ``attributes``); ``before`` and ``after``, sizes in bytes; ``new_chunks`` and ``new_bytes``, the
        file's chunks that the old image has nowhere, and their compressed bytes.
    own_chunks, own_bytes, shared_chunks, shared_bytes
        Distinct chunks of the new image that the old one lacks, or has; compressed bytes.
    """

    files: pd.DataFrame
    own_chunks: int
    own_bytes: int
    shared_chunks: int
    shared_bytes: int

    def _repr_html_(self) -> str:
        counts = self.files["change"].value_counts()
        said = ", ".join(f"{count:,} {change}" for change, count in counts.items()) or "no file differs"
        more = f"{self.own_chunks:,} chunks of {self.own_bytes:,} bytes are new, {self.shared_chunks:,} are shared"
        return f"<b>{said}</b>; {more}{self.files.head(20).to_html(index=False)}"


def diff(old: Image, new: Image) -> Difference:
    """Compare two images, by digests: no chunk is read.

    Contents count as the same where the chunks' digests are, so both images must have chunks of
    the same size and digests of the same kind to share any.
    """
    import pandas as pd

    counted = statistics(new, old)
    before, after = _by_path(old), _by_path(new)
    lacking = _lacking(old, new)
    rows = [_row(path, old, before.get(path), new, after.get(path), lacking) for path in sorted({*before, *after})]
    columns = ["path", "change", "before", "after", "new_chunks", "new_bytes"]
    frame = pd.DataFrame([row for row in rows if row is not None], columns=columns)
    return Difference(frame, counted.own_chunks, counted.own_comp_size, counted.ref_chunks, counted.ref_comp_size)


def _by_path(image: Image) -> dict[bytes, int]:
    paths, rows = image.paths()
    return dict(zip(paths, rows.tolist(), strict=True))


def _lacking(old: Image, new: Image) -> np.ndarray:
    """Whether each chunk of the new image is nowhere in the old one."""
    known = _digests(old)[old.chunks.has_digest]
    result: np.ndarray = ~np.isin(_digests(new), known)
    return result


def _digests(image: Image) -> np.ndarray:
    return np.ascontiguousarray(image.chunks.digest).view("V32").reshape(-1)


def _row(
    path: bytes, old: Image, before: int | None, new: Image, after: int | None, lacking: np.ndarray
) -> tuple[Any, ...] | None:
    name = path.decode("utf-8", "backslashreplace")
    change = _change(old, before, new, after)
    if change is None:
        return None
    sizes = (
        0 if before is None else int(old.inodes.size[before]),
        0 if after is None else int(new.inodes.size[after]),
    )
    if after is None:
        return name, change, *sizes, 0, 0
    chunks = _chunks(new, after)
    fresh = np.unique(chunks[lacking[chunks]])
    return name, change, *sizes, len(fresh), int(new.chunks.compressed_size[fresh].sum())


def _change(old: Image, before: int | None, new: Image, after: int | None) -> str | None:
    if before is None or after is None:
        return "added" if before is None else "removed"
    was, now = old.stat(before), new.stat(after)
    if stat.S_IFMT(was.st_mode) != stat.S_IFMT(now.st_mode):
        return "kind"
    if _content(old, before) != _content(new, after):
        return "content"
    # A directory's size, and how many links it has, follow from what is in it.
    fields = ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_rdev")
    if any(getattr(was, field) != getattr(now, field) for field in fields):
        return "attributes"
    return None if old.xattrs(before) == new.xattrs(after) else "attributes"


def _content(image: Image, row: int) -> object:
    mode = int(image.inodes.mode[row])
    if stat.S_ISLNK(mode):
        return image.readlink(row)
    if not stat.S_ISREG(mode):
        return None
    return int(image.inodes.size[row]), image.chunks.digest[_chunks(image, row)].tobytes()


def _chunks(image: Image, row: int) -> np.ndarray:
    first = int(image.inodes.first_extent[row])
    return image.extents.chunk[first : first + int(image.inodes.extents[row])]
