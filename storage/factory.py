"""From an image and a few settings to a store that can be read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from storage.backend import BlobBackend, Link, LocalFs, MeteredBackend, RoutedBackend, ShapedBackend, meters_of
from storage.blob_metas import blob_metas
from storage.cache import CacheKind, DummyCache, FileCache
from storage.config import ConfigV2
from storage.errors import CacheUnavailableError, ConfigError
from storage.events import Recorder
from storage.external import with_external
from storage.fs import Rafs
from storage.image import BlobFeatures, Located, locate, open_bootstrap
from storage.image.v5 import Amplifier
from storage.metrics import FsIoStats
from storage.oci import REGISTRY_FILE, load_backend
from storage.openers import open_external
from storage.plan import Amplify, Policy, keep_all, plan_options, reach, windows

__all__ = ["default_backend", "open_store"]

_log = logging.getLogger("storage.cache")


def open_store(
    image: str | Path | Located,
    blobs: str | Path | None = None,
    *,
    cache_dir: str | Path | None,
    backend: BlobBackend | None = None,
    external: str | Path | BlobBackend | None = None,
    link: Link | None = None,
    plan: str = "exact",
    amplify_io: int | Amplify = 1 << 20,
    kind: CacheKind | None = None,
    capacity: int | None = None,
    watermarks: tuple[int, int] | None = None,
    policy: Policy = keep_all,
    arena_of: Callable[[int], tuple[int, int]] = lambda chunks: (1, 1),
    recorder: Recorder | None = None,
    prefetch_workers: int = 1,
    prefetch_batch: int | None = None,
    prefetch_bandwidth: int = 0,
    dedup: str | Path | None = None,
    journal: bool = False,
    stats: FsIoStats | None = None,
) -> Rafs:
    """Open an image for reading through a cache.

    Parameters
    ----------
    image, blobs
        A bootstrap and the folder of its blobs; see `storage.image.locate`, whose result may be given, too.
    cache_dir
        Where chunks are kept; None to keep nothing, and ask the backend each time. That is also what happens, with
        a word in the log, where another process evicts from the folder, or there is no room for the cache's files.
    backend
        Where blobs come from; by default the folder of blobs, or for an image that `storage.oci.pull` fetched, its
        registry.
    external
        Where external blobs come from, a folder or a backend; by default from where ``backend.json`` beside the
        bootstrap says, or without it from where the others do.
    link
        A link to put the backend behind.
    plan, amplify_io, prefetch_batch
        See `storage.plan.plan_options`, and `storage.plan.Amplify`.
    kind, capacity, watermarks, policy, prefetch_workers, prefetch_bandwidth, dedup, journal
        See `FileCache`.
    arena_of
        Sizes of the policy's arenas, given how many chunks there are.
    recorder
        Where events go.
    stats
        Where operations on files are counted; by default in total only.

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
    opened_here = None if backend is not None else _own_backends(located, blobs, external is None, recorder)
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
        opened = bootstrap.with_blob_meta(blob_metas(bootstrap, metas, folder, recorder))
    else:
        opened = bootstrap.image()
    options = plan_options(plan, amplify_io, opened.version, prefetch_batch)
    cache: FileCache | DummyCache = DummyCache(opened.infos, opened.chunks, readers, options, recorder)
    if folder is not None:
        with _or_read_through():
            cache = FileCache(
                folder,
                opened.infos,
                opened.blobs,
                opened.chunks,
                readers,
                options,
                kind=kind or CacheKind(),
                capacity=capacity,
                watermarks=watermarks,
                policy=policy,
                arena=arena_of(len(opened.chunks)),
                recorder=recorder,
                prefetch_workers=prefetch_workers,
                prefetch_bandwidth=prefetch_bandwidth,
                dedup=dedup,
                journal=journal,
                window=windows(amplify_io, len(opened.chunks)) if options.amplify else None,
            )
    widens = isinstance(cache, FileCache) and opened.version == 5 and reach(amplify_io) > 0
    rafs = Rafs(opened, cache, Amplifier(opened, reach(amplify_io)) if widens else None, stats)
    rafs.backends = meters_of(source)
    if opened_here is not None:
        rafs.owned.append(opened_here.close)
    return rafs


def _own_backends(
    located: Located, blobs: str | Path | None, outside: bool, recorder: Recorder | None
) -> MeteredBackend | RoutedBackend:
    """Where an image's blobs are by default; those `outside` as it says itself, unless all are in a folder."""
    backend = default_backend(located, blobs, recorder)
    if blobs is not None or not outside:
        return backend
    return with_external(located, ConfigV2(), backend, lambda one: open_external(one, recorder))


def default_backend(
    located: Located, blobs: str | Path | None = None, recorder: Recorder | None = None
) -> MeteredBackend:
    """Where the blobs of an image are, if nobody says: in their folder, or in the registry that it was pulled from.

    Raises
    ------
    ConfigError
        If the file that says which registry is broken.
    """
    pulled = None if blobs is not None else load_backend(located.path.parent / REGISTRY_FILE, recorder)
    if pulled is not None:
        return pulled
    if not isinstance(located.blobs, Path):
        return MeteredBackend(cast(BlobBackend, located.blobs))
    return MeteredBackend(LocalFs(located.blobs), "localfs")


@contextlib.contextmanager
def _or_read_through() -> Iterator[None]:
    """Where the folder cannot be had, say so and go on without."""
    try:
        yield
    except CacheUnavailableError as error:
        _log.warning("%s; reads go through", error)
