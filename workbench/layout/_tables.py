"""What is in an image, and where it lies: data frames made from its tables."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from storage.image.tables import Blobs, Chunks, Extents, Inodes

__all__ = ["TOP", "Tables", "blobs", "chunk_sizes", "directories", "duplicates", "extensions", "owners", "where"]

TOP: Final = "."
"""The directory of files that lie above all directories."""


class Tables(Protocol):
    """Anything that has an image's tables: `storage.image.Image`, or a shipped layout."""

    @property
    def chunks(self) -> Chunks: ...
    @property
    def extents(self) -> Extents: ...
    @property
    def inodes(self) -> Inodes: ...
    @property
    def blobs(self) -> Blobs: ...

    def paths(self) -> tuple[list[bytes], npt.NDArray[np.int64]]:
        """Full path of every entry, and the entry's row in `inodes`."""


def where(image: Tables) -> pd.DataFrame:
    """What is where: one row for each piece of a file that is a chunk, or a part of one.

    Returns
    -------
    DataFrame
        ``path``; its ``directory``, the first step of the way that not all files have in common; its ``extension``;
        ``offset`` and ``length`` in the file; ``chunk``, a row of `Chunks`, with its ``blob``, ``compressed_offset``,
        ``compressed_size`` and ``uncompressed_size``; and whether this piece is the ``first`` that uses the chunk.
        In the order of inodes and of their bytes. A file with several names is listed under its first.
    """
    extents, chunks = image.extents, image.chunks
    names = _file_names(image)
    inodes, back = np.unique(extents.inode, return_inverse=True)
    paths = names[inodes]
    steps = _directories(paths)
    suffixes = np.array([PurePosixPath(path).suffix.lower() for path in paths], object)
    used = extents.chunk
    first = np.zeros(len(used), bool)
    first[np.unique(used, return_index=True)[1]] = True
    return pd.DataFrame(
        {
            "path": paths[back],
            "directory": steps[back],
            "extension": suffixes[back],
            "offset": extents.offset,
            "length": extents.length,
            "chunk": used,
            "blob": chunks.blob[used],
            "compressed_offset": chunks.compressed_offset[used],
            "compressed_size": chunks.compressed_size[used],
            "uncompressed_size": chunks.uncompressed_size[used],
            "first": first,
        }
    )


def owners(image: Tables) -> pd.Series[str]:
    """The ``directory`` of the first file that uses each chunk, by row of `Chunks`; missing where no file does."""
    pieces = where(image)
    return pieces[pieces["first"]].set_index("chunk")["directory"].reindex(range(len(image.chunks)))


def directories(image: Tables) -> pd.DataFrame:
    """Sizes by directory, the largest first.

    Returns
    -------
    DataFrame
        By ``directory``: ``files``, their ``bytes``, the distinct ``chunks`` with their size ``stored`` in the blob,
        and the ``ratio`` of uncompressed to stored. A chunk that several files share counts where it is first used.
    """
    return _by(image, "directory")


def extensions(image: Tables) -> pd.DataFrame:
    """Sizes by extension, in the columns of `directories`."""
    return _by(image, "extension")


def duplicates(image: Tables) -> pd.DataFrame:
    """Chunks that are used more than once, those that save most first.

    Returns
    -------
    DataFrame
        By ``chunk``: ``uses``, ``size`` uncompressed, ``saved`` bytes, uncompressed, and the ``path`` of its first use.
    """
    pieces = where(image)
    found = pieces.groupby("chunk").agg(
        uses=("path", "size"), size=("uncompressed_size", "first"), path=("path", "first")
    )
    found = found[found["uses"] > 1]
    found.insert(2, "saved", found["size"] * (found["uses"] - 1))
    return found.sort_values("saved", ascending=False, kind="stable")


def blobs(image: Tables) -> pd.DataFrame:
    """Each blob: its ``chunks``, those ``unused`` by this image, sizes in bytes, and the ``ratio`` of compression."""
    chunks, n = image.chunks, len(image.blobs)
    used = np.zeros(len(chunks), bool)
    used[image.extents.chunk] = True
    counts = np.bincount(chunks.blob, minlength=n)
    stored = np.bincount(chunks.blob, chunks.stored_size, n).astype(np.int64)
    plain = np.bincount(chunks.blob, chunks.uncompressed_size, n).astype(np.int64)
    frame = {
        "chunks": counts,
        "unused": counts - np.bincount(chunks.blob[used], minlength=n),
        "bytes": plain,
        "stored": stored,
    }
    return pd.DataFrame(frame | {"ratio": plain / np.maximum(stored, 1)}).rename_axis("blob")


def chunk_sizes(image: Tables) -> pd.DataFrame:
    """Histogram of uncompressed chunk sizes in powers of two.

    Returns
    -------
    DataFrame
        By ``up_to``, the largest size in bytes of the class: ``chunks``, and their ``bytes`` and ``stored`` sizes.
    """
    sizes = image.chunks.uncompressed_size
    power = np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)
    frame = pd.DataFrame({"up_to": 1 << power, "bytes": sizes, "stored": image.chunks.stored_size})
    return frame.groupby("up_to").agg(chunks=("bytes", "size"), bytes=("bytes", "sum"), stored=("stored", "sum"))


def _by(image: Tables, key: str) -> pd.DataFrame:
    pieces = where(image)
    first = pieces[pieces["first"]].groupby(key)
    frame = pieces.groupby(key).agg(files=("path", "nunique"), bytes=("length", "sum"))
    frame["chunks"] = first["chunk"].size()
    frame["stored"] = first["compressed_size"].sum()
    frame = frame.fillna(0).astype(np.int64)
    frame["ratio"] = first["uncompressed_size"].sum() / frame["stored"]
    return frame.sort_values("stored", ascending=False, kind="stable")


def _file_names(image: Tables) -> npt.NDArray[np.object_]:
    """The first path of each inode, as text; bytes that are not UTF-8 are written as escapes."""
    paths, inodes = image.paths()
    rows, first = np.unique(inodes, return_index=True)
    names = np.full(len(image.inodes), "", object)
    picked = [paths[i] for i in first]
    names[rows] = [os.fsencode(path).decode(errors="backslashreplace").strip("/") for path in picked]
    return names


def _directories(paths: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The first directory of each path below what all paths have in common."""
    parts = [path.split("/")[:-1] for path in paths]
    low: list[str] = min(parts, default=[])
    high: list[str] = max(parts, default=[])
    # What the first and the last in order have in common, all have.
    shared = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return np.array([part[shared] if len(part) > shared else TOP for part in parts], object)
