"""From an image and a few settings to a store that can be read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.backend import (
    BlobBackend,
    BlobReader,
    Link,
    LocalFs,
    MeteredBackend,
    RoutedBackend,
    ShapedBackend,
    meters_of,
)
from storage.cache import CacheKind, DummyCache, FileCache
from storage.cache.folder import check_owner
from storage.device import BlobInfo
from storage.errors import BackendError, CacheError, ConfigError, FormatError, MissingBlobError
from storage.events import Cause, Kind, Recorder
from storage.fs import Rafs
from storage.image import (
    BlobFeatures,
    BlobMeta,
    Bootstrap,
    Located,
    blob_meta_span,
    chunk_digests,
    load_blob_meta_file,
    locate,
    open_bootstrap,
    read_blob_meta,
)
from storage.image.v5 import Amplifier
from storage.oci import BACKEND_FILE, load_backend
from storage.plan import Policy, keep_all, plan_options

__all__ = ["default_backend", "open_store"]

# nydusd tries five times, and waits 0.4 s and then twice as long each time; backends over HTTP try again by themselves.
_META_TRIES, _META_DELAY_S = 5, 0.02


def open_store(
    image: str | Path | Located,
    blobs: str | Path | None = None,
    *,
    cache_dir: str | Path | None,
    backend: BlobBackend | None = None,
    external: str | Path | BlobBackend | None = None,
    link: Link | None = None,
    plan: str = "exact",
    amplify_io: int = 1 << 20,
    kind: CacheKind | None = None,
    capacity: int | None = None,
    policy: Policy = keep_all,
    arena_of: Callable[[int], tuple[int, int]] = lambda chunks: (1, 1),
    recorder: Recorder | None = None,
    prefetch_workers: int = 1,
    prefetch_batch: int | None = None,
    prefetch_bandwidth: int = 0,
    journal: bool = False,
) -> Rafs:
    """Open an image for reading through a cache.

    Parameters
    ----------
    image, blobs
        A bootstrap and the folder of its blobs; see `storage.image.locate`, whose result may be given, too.
    cache_dir
        Where chunks are kept; None to keep nothing, and ask the backend each time.
    backend
        Where blobs come from; by default the folder of blobs, or for an image that `storage.oci.pull` fetched, its
        registry.
    external
        Where external blobs come from, a folder or a backend; by default from where the others do.
    link
        A link to put the backend behind.
    plan, amplify_io, prefetch_batch
        See `storage.plan.plan_options`.
    kind, capacity, policy, prefetch_workers, prefetch_bandwidth, journal
        See `FileCache`.
    arena_of
        Sizes of the policy's arenas, given how many chunks there are.
    recorder
        Where events go.

    Raises
    ------
    FormatError, BackendError, CacheError, ConfigError
        If the image, a blob or the cache folder is not usable.
    """
    plan_options(plan, amplify_io, prefetch_batch=prefetch_batch)  # refused before anything is opened
    if capacity is not None and (capacity < 0 or cache_dir is None):
        raise ConfigError("a cache cannot hold less than nothing, nor can none be bounded", field="capacity")
    located = image if isinstance(image, Located) else locate(image, blobs)
    bootstrap = open_bootstrap(located)
    opened_here = None if backend is not None else default_backend(located, blobs, recorder)
    source = backend if backend is not None else opened_here
    assert source is not None
    if external is not None:
        outside: list[BlobBackend] = [LocalFs(external) if isinstance(external, (str, Path)) else external]
        ids = [info.blob_id for info in bootstrap.infos if info.has_feature(BlobFeatures.EXTERNAL)]
        source = RoutedBackend(source, dict.fromkeys(ids, outside))
    if link is not None:
        source = ShapedBackend(source, link)
    readers = [source.get_reader(info.blob_id) for info in bootstrap.infos]
    metas = [
        source.get_reader(info.blob_meta_id) if info.meta_blob_id else reader
        for info, reader in zip(bootstrap.infos, readers, strict=True)
    ]
    folder = None if cache_dir is None else Path(cache_dir)
    if bootstrap.has_blob_meta:
        opened = bootstrap.with_blob_meta(_blob_metas(bootstrap, metas, folder, recorder))
    else:
        opened = bootstrap.image()
    options = plan_options(plan, amplify_io, opened.version, prefetch_batch)
    cache: FileCache | DummyCache
    if folder is None:
        cache = DummyCache(opened.infos, opened.chunks, readers, options, recorder)
    else:
        cache = FileCache(
            folder,
            opened.infos,
            opened.blobs,
            opened.chunks,
            readers,
            options,
            kind=kind or CacheKind(),
            capacity=capacity,
            policy=policy,
            arena=arena_of(len(opened.chunks)),
            recorder=recorder,
            prefetch_workers=prefetch_workers,
            prefetch_bandwidth=prefetch_bandwidth,
            journal=journal,
        )
    widens = folder is not None and opened.version == 5 and amplify_io > 0
    rafs = Rafs(opened, cache, Amplifier(opened, amplify_io) if widens else None)
    rafs.backends = meters_of(source)
    if opened_here is not None:
        rafs.owned.append(opened_here.close)
    return rafs


def default_backend(
    located: Located, blobs: str | Path | None = None, recorder: Recorder | None = None
) -> MeteredBackend:
    """Where the blobs of an image are, if nobody says: in their folder, or in the registry that it was pulled from.

    Raises
    ------
    ConfigError
        If the file that says which registry is broken.
    """
    pulled = None if blobs is not None else load_backend(located.path.parent / BACKEND_FILE, recorder)
    return pulled or MeteredBackend(LocalFs(located.blobs), "localfs")


def _blob_metas(
    bootstrap: Bootstrap, readers: Sequence[BlobReader], folder: Path | None, recorder: Recorder | None
) -> list[BlobMeta | None]:
    """Each blob's ``blob.meta``: from the cache folder, else fetched and kept there.

    Digests of chunks come from the blob only where the bootstrap does not name them all.
    """
    infos, blob = bootstrap.infos, bootstrap.records["blob_index"]
    named = np.bincount(blob[blob < len(infos)], minlength=len(infos))
    if folder is None:
        return [
            None if info.is_told_by_bootstrap else _fetch_meta(info, reader, recorder)
            for info, reader in zip(infos, readers, strict=True)
        ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_owner(folder, infos)
        metas = [
            None if info.is_told_by_bootstrap else _blob_meta(info, reader, folder, recorder)
            for info, reader in zip(infos, readers, strict=True)
        ]
        return [
            meta
            if meta is None or named[info.blob_index] >= info.chunk_count
            else _with_digests(meta, info, reader, folder)
            for meta, info, reader in zip(metas, infos, readers, strict=True)
        ]
    except OSError as error:
        raise CacheError(f"the cache folder cannot be used: {error.strerror}", path=folder) from error


def _blob_meta(info: BlobInfo, reader: BlobReader, folder: Path, recorder: Recorder | None) -> BlobMeta:
    path = folder / f"{info.blob_id}.blob.meta"
    if path.exists():
        try:
            return load_blob_meta_file(path.read_bytes(), info)
        except FormatError as error:
            raise CacheError(f"{error.message}: remove it", path=path) from error
    meta = _fetch_meta(info, reader, recorder)
    partial = path.with_suffix(".meta.partial")
    partial.write_bytes(meta.content)
    partial.replace(path)
    return meta


def _with_digests(meta: BlobMeta, info: BlobInfo, reader: BlobReader, folder: Path) -> BlobMeta:
    """With ``blob.digest``, where the blob has one; kept under nydusd's name."""
    path = folder / f"{info.blob_id}.blob.digest"
    if path.exists() and path.stat().st_size == info.chunk_count * 32:
        return replace(meta, digests=np.fromfile(path, np.uint8).reshape(-1, 32))
    digests = chunk_digests(lambda offset, length: _range(reader, offset, length), reader.blob_size(), info)
    if digests is None:
        return meta
    partial = path.with_suffix(".digest.partial")
    partial.write_bytes(digests.tobytes())
    partial.replace(path)
    return replace(meta, digests=digests)


def _range(reader: BlobReader, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    reader.read_into(memoryview(buffer), offset)
    return bytes(buffer)


def _fetch_meta(info: BlobInfo, reader: BlobReader, recorder: Recorder | None) -> BlobMeta:
    """From the backend; tried again when the line is bad, or spoils it."""
    for tries in itertools.count(1):
        try:
            return read_blob_meta(_fetch(info, reader, recorder), info)
        except MissingBlobError:
            raise
        except BackendError:
            if tries == _META_TRIES:
                raise
        except FormatError:
            if tries == 2:
                raise
        time.sleep(_META_DELAY_S * 2**tries)
    raise AssertionError("unreachable")


def _fetch(info: BlobInfo, reader: BlobReader, recorder: Recorder | None) -> memoryview:
    offset, length = blob_meta_span(info)
    if offset + length > reader.blob_size():
        raise FormatError("the blob ends before its blob.meta does", blob=info.blob_id, offset=offset)
    raw = memoryview(bytearray(length))
    start = time.monotonic_ns()
    transfer = reader.read_into(raw, offset)
    if recorder is not None:
        where = {"fetch_id": info.blob_index, "blob": info.blob_index, "offset": offset, "length": length}
        duration = time.monotonic_ns() - start
        recorder.log(kind=Kind.REQUEST, t_ns=start, dur_ns=duration, ttfb_ns=transfer.ttfb_ns, **where)
        recorder.log(kind=Kind.FETCH, cause=Cause.META, t_ns=start, **where)
    return raw
