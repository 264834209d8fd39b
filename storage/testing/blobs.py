"""Blobs made of given chunks: what a cache or a plan is tested with, without a file system around it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from storage.backend import BlobBackend, LocalFs
from storage.cache import FileCache
from storage.codec import Compressor, Digester, compress, digest
from storage.events import Recorder
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import Blobs, Chunks
from storage.plan import Policy, keep_all, plan_options

__all__ = ["Made", "chunk_contents", "make_blobs", "open_cache", "read_lists"]

_BLOCK = 4096


class Made(NamedTuple):
    """Blobs on disk, and the tables that describe them.

    Attributes
    ----------
    folder
        Where the blobs are, each a file of its id.
    contents
        The uncompressed bytes of each chunk, by its row.
    """

    folder: Path
    infos: tuple[BlobInfo, ...]
    blobs: Blobs
    chunks: Chunks
    contents: tuple[bytes, ...]


def make_blobs(
    folder: Path, contents: Sequence[Sequence[bytes]], compressor: Compressor = Compressor.ZSTD, gap: int = 0
) -> Made:
    """Write a blob for each list of chunks; `gap` bytes of nothing lie between two chunks."""
    infos: list[BlobInfo] = []
    tables: list[tuple[np.ndarray, ...]] = []
    for index, chunks in enumerate(contents):
        stored = [_store(compressor, chunk) for chunk in chunks]
        data = bytes(gap).join(stored)
        blob_id = hashlib.sha256(data + bytes([index])).hexdigest()
        (folder / blob_id).write_bytes(data)
        tables.append(_table(index, chunks, stored, gap, sum(len(table[0]) for table in tables)))
        infos.append(_info(index, blob_id, compressor, tables[-1], len(data)))
    counts = np.array([len(chunks) for chunks in contents])
    blobs = Blobs(
        np.cumsum(counts) - counts,
        counts,
        np.array([info.compressed_size for info in infos]),
        np.array([info.uncompressed_size for info in infos]),
    )
    flat = tuple(chunk for chunks in contents for chunk in chunks)
    return Made(folder, tuple(infos), blobs, Chunks(*map(np.concatenate, zip(*tables, strict=True))), flat)


def _store(compressor: Compressor, chunk: bytes) -> bytes:
    stored = compress(compressor, chunk)
    return stored if len(stored) < len(chunk) else chunk


def _table(
    blob: int, chunks: Sequence[bytes], stored: Sequence[bytes], gap: int, row: int
) -> tuple[np.ndarray, ...]:
    plain = np.array([len(chunk) for chunk in chunks])
    sizes = np.array([len(chunk) for chunk in stored])
    rounded = -(-plain // _BLOCK) * _BLOCK
    digests = b"".join(digest(Digester.BLAKE3, chunk) for chunk in chunks)
    count = len(chunks)
    return (
        np.full(count, blob, np.int32),
        np.arange(count, dtype=np.int32),
        np.cumsum(sizes + gap) - sizes - gap,
        sizes,
        np.cumsum(rounded) - rounded,
        plain,
        sizes != plain,
        np.frombuffer(digests, np.uint8).reshape(count, 32),
        np.ones(count, np.bool_),
        np.zeros(count, np.uint32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.bool_),
        np.arange(row, row + count),
        np.zeros(count, np.int32),
        plain.astype(np.int32),
        np.zeros(count, np.uint8),
        sizes,
    )


def _info(index: int, blob_id: str, compressor: Compressor, table: tuple[np.ndarray, ...], size: int) -> BlobInfo:
    return BlobInfo(
        blob_index=index,
        blob_id=blob_id,
        features=BlobFeatures.ALIGNED,
        compressed_size=size,
        uncompressed_size=int(table[4][-1] + -(-table[5][-1] // _BLOCK) * _BLOCK),
        chunk_size=1 << 20,
        chunk_count=len(table[0]),
        compressor=compressor,
        digester=Digester.BLAKE3,
        meta_ci_compressor=Compressor.NONE,
        meta_ci_offset=0,
        meta_ci_compressed_size=0,
        meta_ci_uncompressed_size=0,
    )


def open_cache(
    made: Made,
    folder: Path,
    *,
    backend: BlobBackend | None = None,
    plan: str = "exact",
    amplify_io: int = 0,
    capacity: int | None = None,
    policy: Policy = keep_all,
    arena: tuple[int, int] = (1, 1),
    recorder: Recorder | None = None,
    journal: bool = False,
) -> FileCache:
    """A file cache over made blobs; `backend` is their folder by default."""
    source = LocalFs(made.folder) if backend is None else backend
    return FileCache(
        folder,
        made.infos,
        made.blobs,
        made.chunks,
        [source.get_reader(info.blob_id) for info in made.infos],
        plan_options(plan, amplify_io),
        capacity=capacity,
        policy=policy,
        arena=arena,
        recorder=recorder,
        journal=journal,
    )


@st.composite
def chunk_contents(draw: st.DrawFn, max_chunks: int = 24) -> list[list[bytes]]:
    """Contents of one to three blobs: chunks short and long, compressible or not."""
    chunk = st.builds(
        lambda size, seed, noisy: _content(size, seed, noisy),
        st.one_of(st.integers(1, 300), st.integers(4000, 20_000)),
        st.integers(0, 1 << 30),
        st.booleans(),
    )
    return draw(st.lists(st.lists(chunk, min_size=1, max_size=max_chunks), min_size=1, max_size=3))


def _content(size: int, seed: int, noisy: bool) -> bytes:
    if noisy:
        return np.random.default_rng(seed).bytes(size)
    return (seed.to_bytes(4, "little") * (size // 4 + 1))[:size]


@st.composite
def read_lists(draw: st.DrawFn, made: Made, max_reads: int = 12) -> list[list[tuple[int, int, int]]]:
    """Reads of made blobs: each a list of (chunk row, offset, length), in any order and with repeats."""
    sizes = [len(content) for content in made.contents]

    def segment(row: int, a: int, b: int) -> tuple[int, int, int]:
        start, end = sorted((a % sizes[row], b % sizes[row]))
        return row, start, end - start + 1

    rows = st.integers(0, len(sizes) - 1)
    number = st.integers(0, 1 << 20)
    anywhere = st.lists(st.builds(segment, rows, number, number), min_size=1, max_size=6)
    whole_runs = st.builds(
        lambda first, count: [(row, 0, sizes[row]) for row in range(first, min(first + count, len(sizes)))],
        rows,
        st.integers(1, 8),
    )
    return draw(st.lists(st.one_of(anywhere, whole_runs), min_size=1, max_size=max_reads))
