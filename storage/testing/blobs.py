"""Blobs made of given chunks: what a cache or a plan is tested with, without a file system around it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from storage.backend import BlobBackend, LocalFs
from storage.cache import CacheKind, FileCache
from storage.codec import Cipher, Compressor, Digester, compress, digest, encrypt
from storage.events import Recorder
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import BATCH, PLAIN, Blobs, Chunks
from storage.plan import Policy, keep_all, plan_options

__all__ = [
    "Made",
    "Raw",
    "Spec",
    "chunk_contents",
    "chunk_specs",
    "content",
    "make_blobs",
    "open_cache",
    "raw_reads",
    "read_lists",
    "segments_of",
]

Spec = tuple[int, int, bool]
Raw = list[tuple[int, int, int]]

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
    folder: Path,
    contents: Sequence[Sequence[bytes]],
    compressor: Compressor = Compressor.ZSTD,
    gap: int = 0,
    together: int = 1,
    encrypted: bool = False,
) -> Made:
    """Write a blob for each list of chunks.

    Parameters
    ----------
    gap
        Bytes of nothing between two units.
    together
        How many neighbours are a batch; 1 for each chunk alone.
    encrypted
        Whether the blobs are.
    """
    infos: list[BlobInfo] = []
    tables: list[tuple[np.ndarray, ...]] = []
    for index, chunks in enumerate(contents):
        units = [list(chunks[at : at + together]) for at in range(0, len(chunks), together)]
        stored = [_store(compressor, b"".join(unit), encrypted) for unit in units]
        data = bytes(gap).join(stored)
        blob_id = hashlib.sha256(data + bytes([index])).hexdigest()
        (folder / blob_id).write_bytes(data)
        row = sum(len(table[0]) for table in tables)
        tables.append(_table(index, units, stored, gap, row, encrypted))
        infos.append(_info(index, blob_id, compressor, tables[-1], len(data), encrypted))
    counts = np.array([len(chunks) for chunks in contents])
    blobs = Blobs(
        np.cumsum(counts) - counts,
        counts,
        np.array([info.compressed_size for info in infos]),
        np.array([info.uncompressed_size for info in infos]),
    )
    flat = tuple(chunk for chunks in contents for chunk in chunks)
    return Made(folder, tuple(infos), blobs, Chunks(*map(np.concatenate, zip(*tables, strict=True))), flat)


_KEY, _IV = bytes(range(32)), bytes(range(16))


def _store(compressor: Compressor, plain: bytes, encrypted: bool) -> bytes:
    stored = compress(compressor, plain)
    stored = stored if len(stored) < len(plain) else plain
    return encrypt(Cipher.AES128XTS, _KEY, _IV, stored) if encrypted else stored


def _table(
    blob: int, units: Sequence[list[bytes]], stored: Sequence[bytes], gap: int, row: int, encrypted: bool
) -> tuple[np.ndarray, ...]:
    chunks = [chunk for unit in units for chunk in unit]
    each = [len(unit) for unit in units]
    plain = np.array([len(chunk) for chunk in chunks])
    sizes = np.array([len(unit) for unit in stored])
    whole = np.array([sum(map(len, unit)) for unit in units])
    rounded = -(-plain // _BLOCK) * _BLOCK
    digests = b"".join(digest(Digester.BLAKE3, chunk) for chunk in chunks)
    first = np.repeat(np.cumsum(each) - each, each)
    before = np.cumsum(plain) - plain
    count = len(chunks)
    return (
        np.full(count, blob, np.int32),
        np.arange(count, dtype=np.int32),
        np.repeat(np.cumsum(sizes + gap) - sizes - gap, each),
        np.repeat(sizes, each),
        np.cumsum(rounded) - rounded,
        plain,
        np.repeat(_is_compressed(sizes, whole), each),
        np.frombuffer(digests, np.uint8).reshape(count, 32),
        np.ones(count, np.bool_),
        np.zeros(count, np.uint32),
        np.zeros(count, np.bool_),
        np.full(count, encrypted),
        row + first,
        (before - before[first]).astype(np.int32),
        np.repeat(whole, each).astype(np.int32),
        np.full(count, BATCH if max(each) > 1 else PLAIN, np.uint8),
        sizes,
    )


def _is_compressed(stored: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Whether units are: those that are padded to be encrypted are too short for any codec to make them shorter."""
    return (stored != plain) & (plain >= 16)


def _info(
    index: int, blob_id: str, compressor: Compressor, table: tuple[np.ndarray, ...], size: int, encrypted: bool
) -> BlobInfo:
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
        cipher=Cipher.AES128XTS if encrypted else Cipher.NONE,
        cipher_key=_KEY if encrypted else b"",
        cipher_iv=_IV if encrypted else b"",
    )


def open_cache(
    made: Made,
    folder: Path,
    *,
    backend: BlobBackend | None = None,
    plan: str = "exact",
    amplify_io: int = 0,
    kind: CacheKind | None = None,
    capacity: int | None = None,
    policy: Policy = keep_all,
    arena: tuple[int, int] = (1, 1),
    recorder: Recorder | None = None,
    journal: bool = False,
    **settings: Any,
) -> FileCache:
    """A file cache over made blobs; `backend` is their folder by default, for `settings` see `FileCache`."""
    source = LocalFs(made.folder) if backend is None else backend
    return FileCache(
        folder,
        made.infos,
        made.blobs,
        made.chunks,
        [source.get_reader(info.blob_id) for info in made.infos],
        plan_options(plan, amplify_io),
        kind=kind or CacheKind(),
        capacity=capacity,
        policy=policy,
        arena=arena,
        recorder=recorder,
        journal=journal,
        **settings,
    )


def chunk_specs(max_chunks: int = 24) -> st.SearchStrategy[list[list[Spec]]]:
    """One to three blobs' chunks, short and long, compressible or not, each as what `content` makes it of."""
    size = st.one_of(st.integers(1, 300), st.integers(4000, 20_000))
    chunk = st.tuples(size, st.integers(0, 1 << 30), st.booleans())
    return st.lists(st.lists(chunk, min_size=1, max_size=max_chunks), min_size=1, max_size=3)


def content(size: int, seed: int, noisy: bool) -> bytes:
    """So many bytes: noise, or four bytes again and again."""
    if noisy:
        return np.random.default_rng(seed).bytes(size)
    return (seed.to_bytes(4, "little") * (size // 4 + 1))[:size]


@st.composite
def chunk_contents(draw: st.DrawFn, max_chunks: int = 24) -> list[list[bytes]]:
    """Contents of one to three blobs: chunks short and long, compressible or not."""
    return [[content(*chunk) for chunk in blob] for blob in draw(chunk_specs(max_chunks))]


def raw_reads() -> st.SearchStrategy[Raw]:
    """Reads of blobs that need not be known: `segments_of` makes them fit. Parts of chunks in any order, or a run."""
    number = st.integers(0, 1 << 20)
    parts = st.lists(st.tuples(st.integers(0, 99), number, number), min_size=1, max_size=6)
    runs = st.builds(
        lambda first, count: [(row, 0, -1) for row in range(first, first + count)],
        st.integers(0, 99),
        st.integers(1, 8),
    )
    return st.one_of(parts, runs)


def segments_of(made: Made, raw: Raw) -> list[tuple[int, int, int]]:
    """A raw read as (chunk row, offset, length) each, of blobs that there are; numbers too large begin anew."""
    found = []
    for number, *ends in raw:
        row = number % len(made.contents)
        start, end = sorted(each % len(made.contents[row]) for each in ends)
        found.append((row, start, end - start + 1))
    return found


@st.composite
def read_lists(draw: st.DrawFn, made: Made, max_reads: int = 12) -> list[list[tuple[int, int, int]]]:
    """Reads of made blobs: each a list of (chunk row, offset, length), in any order and with repeats."""
    return [segments_of(made, raw) for raw in draw(st.lists(raw_reads(), min_size=1, max_size=max_reads))]
