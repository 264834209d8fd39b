"""The inflate contexts of zran blobs, by the unit that each is for.

Source: nydus ``storage/src/meta/zran.rs``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.codec import WINDOW, InflateContext
from storage.errors import FormatError
from storage.image._chunk_info import BlobMeta
from storage.image.blob_info import BlobInfo
from storage.image.tables import ZRAN, Blobs

__all__ = ["inflate_contexts"]


def inflate_contexts(infos: Sequence[BlobInfo], metas: Sequence[BlobMeta], blobs: Blobs) -> dict[int, InflateContext]:
    """Contexts by the first row of their unit in the chunk table. Windows are not copied.

    Raises
    ------
    FormatError
        If a context's window is not there, or is longer than one can be.
    """
    found: dict[int, InflateContext] = {}
    for info, meta in zip(infos, metas, strict=True):
        first = np.flatnonzero((meta.kind == ZRAN) & (meta.unit == np.arange(len(meta.unit))))
        if not len(first):
            continue
        used = meta.contexts[meta.context[first]]
        start, size = used["dict_offset"].astype(np.uint64), used["dict_size"].astype(np.uint64)
        wrong = (size > WINDOW) | (start > len(meta.dictionary)) | (start + size > len(meta.dictionary))
        wrong |= used["ctx_bits"] > 7
        if wrong.any():
            at = int(first[np.flatnonzero(wrong)[0]])
            raise FormatError("blob.meta: an inflate context is broken", blob=info.blob_id, chunk=at)
        windows, base = memoryview(meta.dictionary), int(blobs.first_chunk[info.blob_index])
        columns = (base + first, used["ctx_bits"], used["ctx_byte"], start, start + size)
        for row, bits, byte, begin, end in zip(*(column.tolist() for column in columns), strict=True):
            found[row] = InflateContext(bits, byte, windows[begin:end])
    return found
