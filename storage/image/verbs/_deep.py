"""Every chunk fetched, decompressed and verified: at the speed of decompression."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.errors import MissingBlobError, StorageError
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._source import BlobSource
from storage.image.tables import Chunks
from storage.image.verbs._report import MAX_PROBLEMS, Problem, problem_of
from storage.progress import progress_bar

__all__ = ["runs", "verify_chunks"]

_SPAN = 1 << 20  # bytes that one task reads at once: few enough to stay in the cache until they are decoded
_AHEAD = 8


class _Verified(NamedTuple):
    """What came of a run: errors, chunks that have their digest and their bytes, bytes looked at."""

    errors: list[StorageError]
    chunks: int
    plain: int
    looked: int


def verify_chunks(image: Image, blobs: Path | BlobSource, progress: bool = False) -> tuple[list[Problem], int, int]:
    """Read every chunk of the blobs.

    Returns
    -------
    tuple
        What is wrong; how many chunks have their digest, and their plain bytes.
    """
    problems: dict[Problem, None] = {}  # a missing blob is one, however many chunks it has
    verified = size = 0
    total = int(image.chunks.uncompressed_size.sum())
    with progress_bar(progress, total, "check") as move:
        for run in _verified(image, blobs):
            for error in run.errors:
                problems[problem_of(error, "blob" if isinstance(error, MissingBlobError) else "chunk")] = None
            verified, size = verified + run.chunks, size + run.plain
            move(run.looked)
            if len(problems) >= MAX_PROBLEMS:
                break
    return list(problems)[:MAX_PROBLEMS], verified, size


def _verified(image: Image, blobs: Path | BlobSource) -> Iterator[_Verified]:
    """All runs, in order, some ahead on all cores."""
    waiting: deque[Future[_Verified]] = deque()
    with ChunkReader(image, blobs) as reader, ThreadPoolExecutor(os.cpu_count()) as pool:
        for span in runs(image.chunks):
            waiting.append(pool.submit(_verify_run, image, reader, span))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def runs(chunks: Chunks) -> Iterator[range]:
    """Rows of chunks that lie one behind the other in a blob, at most `_SPAN` bytes at a time; empty ones are left."""
    start, length = chunks.compressed_offset, chunks.compressed_size
    rows = np.flatnonzero(length > 0)
    if not len(rows):
        return
    end = start + length
    split = (np.diff(chunks.unit[rows]) != 0) & (end[rows][:-1] != start[rows][1:])
    apart = (np.diff(rows) != 1) | (np.diff(chunks.blob[rows]) != 0) | split
    group = np.concatenate([[0], np.cumsum(apart)])
    begin = start[rows][np.searchsorted(group, group)]
    part = (start[rows] - begin) // _SPAN
    edges = np.flatnonzero((np.diff(group) != 0) | (np.diff(part) != 0)) + 1
    for first, last in zip(np.append(0, edges).tolist(), np.append(edges, len(rows)).tolist(), strict=True):
        yield range(int(rows[first]), int(rows[last - 1]) + 1)


def _verify_run(image: Image, reader: ChunkReader, rows: range) -> _Verified:
    chunks = image.chunks
    looked = int(chunks.uncompressed_size[rows.start : rows.stop].sum())
    try:
        fetched = reader.open(rows)
    except StorageError as error:
        return _Verified([error], 0, 0, looked)
    errors, count, plain = list[StorageError](), 0, 0
    for row in rows:
        try:
            found = fetched.chunk(row)
        except StorageError as error:
            errors.append(error)
            continue
        if chunks.has_digest[row]:
            count, plain = count + 1, plain + len(found)
    return _Verified(errors, count, plain, looked)
