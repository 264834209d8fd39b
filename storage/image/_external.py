"""Chunks of external blobs: numbered as a builder met their files, and here by their place.

All else walks a blob's chunks in the order in which they lie. A map of cached chunks therefore counts
them by place, too, where nydusd counts them as they are told.

Source: nydus ``builder/src/core/node.rs`` (`dump_node_data_with_reader`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from storage.image._chunks import chunk_rows
from storage.image.blob_info import BlobInfo
from storage.image.tables import Blobs, Extents

__all__ = ["numbered_by_place"]

_NOWHERE = np.iinfo(np.uint64).max


def numbered_by_place(
    infos: Sequence[BlobInfo], blobs: Blobs, records: np.ndarray, extents: Extents
) -> tuple[np.ndarray, Extents]:
    """Records of the chunk table and extents, with the chunks of external blobs in the order of their offsets.

    Raises
    ------
    FormatError
        If a record is of no blob.
    """
    rank, moved = np.arange(int(blobs.chunk_count.sum())), False
    for info in infos:
        if not info.is_told_by_bootstrap:
            continue
        mine = (records["blob_index"] == info.blob_index) & (records["index"] < info.chunk_count)
        offset = np.full(info.chunk_count, _NOWHERE, np.uint64)
        offset[records["index"][mine]] = records["uncompressed_offset"][mine]
        first = int(blobs.first_chunk[info.blob_index])
        if (offset[1:] < offset[:-1]).any():
            rank[first + np.argsort(offset, kind="stable")] = first + np.arange(info.chunk_count)
            moved = True
    if not moved:
        return records, extents
    rows, records = chunk_rows(records, blobs), records.copy()
    records["index"] = rank[rows] - blobs.first_chunk[records["blob_index"]]
    return records, replace(extents, chunk=rank[extents.chunk])
